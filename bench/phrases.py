"""What the callers of a benchmark say: recordings, whole or with a pause inside."""

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from serve_app.client.speech import read_wav, trim
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import Samples
from tests.speech import TRANSCRIPTS, clip, transcript

PAUSES_S = (0.36, 0.75)
"""Shortest and longest pause that a caller makes between two parts."""
CLIPS = tuple(TRANSCRIPTS)
BARGE_IN_CLIPS = ("librivox_0880", "librivox_0890", "librivox_0930", "go_forward", "cards_005")
"""The clips of 2 to 5 s."""
_TURNS = Path(__file__).parents[1] / "tests" / "data" / "turns"
_READINGS = (
    ("librivox_0870", "librivox_0880"),
    ("librivox_0880", "librivox_0890"),
    ("librivox_0920", "librivox_0930"),
)
"""Consecutive parts of one recording: what is said goes on after the pause."""
_HESITATIONS = ("mfa_hes", "mfa_erpause", "mfa_youknow")
"""Of tests/data/turns, those whose speakers pause for 0.36 to 0.75 s by themselves."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """One turn of a caller."""

    parts: tuple[str, ...]
    """Names of recordings."""
    is_paused: bool = False
    """Whether there is a pause in it."""
    pause_s: float = 0.0
    """Silence between two parts, during which the microphone stays open."""

    @property
    def text(self) -> str:
        """What is said; empty where it is not known."""
        return " ".join(transcript(part) for part in self.parts if part in TRANSCRIPTS)

    @property
    def samples(self) -> Samples:
        """From the first voiced sample to the last."""
        between = np.zeros(round(self.pause_s * SAMPLE_RATE_HZ), dtype=np.float32)
        spoken = [_recording(part) for part in self.parts]
        pieces = [piece for part in spoken for piece in (between, part)]
        return np.concatenate(pieces[1:])


def whole(name: str) -> Phrase:
    """A recording, said as it is."""
    return Phrase((name,))


def paused(caller: int, turn: int) -> Phrase:
    """What this caller says in that turn. The length of the pause depends on nothing else."""
    what = _READINGS + tuple((name,) for name in _HESITATIONS)
    parts = what[(caller + turn) % len(what)]
    drawn_s = random.Random(f"{caller} {turn}").uniform(*PAUSES_S)
    return Phrase(parts, is_paused=True, pause_s=drawn_s if len(parts) > 1 else 0.0)


def phrases(caller: int, wholes: int, with_pauses: int) -> list[Phrase]:
    """The turns of a caller, the two kinds mixed. Each caller begins with a different clip."""
    said = [(i / max(1, wholes), whole(CLIPS[(caller + i) % len(CLIPS)])) for i in range(wholes)]
    said += [((i + 0.5) / with_pauses, paused(caller, i)) for i in range(with_pauses)]
    return [phrase for _, phrase in sorted(said, key=lambda each: each[0])]


@cache
def _recording(name: str) -> Samples:
    if name in TRANSCRIPTS:
        return trim(clip(name))
    return trim(read_wav(_TURNS / f"{name}.wav"))
