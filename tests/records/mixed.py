"""Recordings, as they are heard."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from serve_app.records.placing import RATE_HZ

Channel = npt.NDArray[np.float64]


def sides(path: Path) -> tuple[Channel, Channel]:
    """The user's and the agent's, from -1 to 1."""
    sound, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
    assert rate_hz == RATE_HZ and sound.shape[1] == 2
    return sound[:, 0], sound[:, 1]


def loudness(channel: Channel, from_s: float, to_s: float) -> float:
    """Root mean square."""
    part = channel[round(from_s * RATE_HZ) : round(to_s * RATE_HZ)]
    return float(np.sqrt(np.mean(part**2))) if len(part) else 0.0


def sounds_at(channel: Channel, threshold: float = 0.01) -> list[tuple[float, float]]:
    """From when to when something is heard; pauses of less than 50 ms are none."""
    loud = np.flatnonzero(np.abs(channel) > threshold)
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > RATE_HZ // 20)
    starts = [loud[0], *(loud[at + 1] for at in breaks)]
    ends = [*(loud[at] for at in breaks), loud[-1]]
    return [(a / RATE_HZ, b / RATE_HZ) for a, b in zip(starts, ends, strict=True)]
