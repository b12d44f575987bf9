"""What is noted of a call while it goes on: lines of JSON, and beside them the sound that they
speak of. Whatever a process that is killed had written is of use."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serve_app.protocol.messages import Samples

JOURNAL, USER, AGENT = "call.jsonl", "user.pcm", "agent.pcm"
"""The files of a call: notes; the user's samples, 16 bit at 16 kHz; the agent's, 16 bit at the rate
that the first note names."""
RECORDING, RECORD = "recording.flac", "record.json"
"""What is made of them when the call is over."""


@dataclass(frozen=True, slots=True)
class Note:
    """One line, with the sound that belongs to it. Keys of lines: `call` begins a call, `turn`,
    `tool` and `error` are numbered and may be written again, `user`, `agent`, `interrupt`,
    `backlog` and `played` say what was to be heard, `end` ends it."""

    line: dict[str, Any]
    samples: Samples | None = field(default=None, repr=False)
    """The user's."""
    pcm: bytes = field(default=b"", repr=False)
    """The agent's."""

    @property
    def seconds(self) -> float:
        """About how much sound waits to be written with it."""
        return (0 if self.samples is None else len(self.samples)) / 16_000 + len(self.pcm) / 48_000


def as_pcm(samples: Samples) -> bytes:
    """Float to 16 bit."""
    return (np.clip(samples, -1.0, 1.0) * 32_767).astype("<i2").tobytes()
