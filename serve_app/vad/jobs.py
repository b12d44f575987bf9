"""What the ingress asks of voice activity detection, and what it gets back. Plain arrays: the
ingress loads no model library for them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

CONTEXT_SAMPLES = 64
"""Silero wants the end of the previous frame in front of each frame."""
_STATE = 128


@dataclass(frozen=True, slots=True)
class VadRow:
    """What Silero remembers of one session. It travels with each call, so any replica will do."""

    state: Floats
    """Recurrent state, shape (2, 128)."""
    context: Floats
    """Last samples of the previous frame, shape (64,)."""


@dataclass(frozen=True, slots=True)
class VadJob:
    """One session's part of a call."""

    row: VadRow
    frames: Floats
    """Shape (n, 512), n at least 1, at 16 kHz."""


@dataclass(frozen=True, slots=True)
class VadAnswer:
    """Answers one job."""

    row: VadRow
    """For the session's next job."""
    probabilities: Floats
    """Of speech, one for each frame: shape (n,), 0 to 1."""


def new_row() -> VadRow:
    """The row of a session that has not sent any audio."""
    return VadRow(
        np.zeros((2, _STATE), dtype=np.float32), np.zeros(CONTEXT_SAMPLES, dtype=np.float32)
    )
