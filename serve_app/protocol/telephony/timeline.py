"""A caller's audio in its order: what came early waits, what is lost is silence.

A chunk that is ahead waits for those before it, until so many wait that these are given up. There
is no clock in it: if nothing is out of order, nothing waits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

BYTES_PER_MS: Final = 8
"""Of mu-law at 8 kHz."""
MOST_WAITING: Final = 5
"""Chunks: 100 ms of Twilio's."""
MOST_SILENCE_MS: Final = 2000
"""In one place: enough to end a turn. A longer hole is made shorter, and time goes on after it."""
_JITTER_MS: Final = 15
"""A chunk lasts 20 ms: what is less late than that was not lost. It adds up until it is more."""
_SET_BACK_MS: Final = 200
"""A time so far back begins a new count."""
_SILENCE: Final = b"\xff"


@dataclass(frozen=True, slots=True)
class Chunk:
    number: int
    """Counted from 1."""
    at_ms: int
    """Since the stream has begun."""
    data: bytes


class Timeline:
    """Of one call."""

    def __init__(self) -> None:
        self._next = 1
        self._waiting: dict[int, Chunk] = {}
        self._end_ms: float | None = None
        """Of what was given out; None before the first chunk, whose time is the beginning."""

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def take(self, chunk: Chunk) -> bytes:
        """What can be heard now, if anything. A chunk that was here before, or comes after it was
        given up, is dropped."""
        if chunk.number >= self._next:
            self._waiting.setdefault(chunk.number, chunk)
        if len(self._waiting) > MOST_WAITING:
            self._next = min(self._waiting)
        return b"".join(self._heard())

    def _heard(self) -> Iterator[bytes]:
        while (chunk := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            yield self._silence_before(chunk)
            yield chunk.data

    def _silence_before(self, chunk: Chunk) -> bytes:
        """Moves the end of the line to that of the chunk."""
        end_ms = chunk.at_ms if self._end_ms is None else self._end_ms
        late_ms = chunk.at_ms - end_ms
        is_contiguous = -_SET_BACK_MS <= late_ms <= _JITTER_MS
        start_ms = end_ms if is_contiguous else chunk.at_ms
        self._end_ms = start_ms + len(chunk.data) / BYTES_PER_MS
        missing_ms = min(max(0.0, start_ms - end_ms), MOST_SILENCE_MS)
        return _SILENCE * round(missing_ms * BYTES_PER_MS)
