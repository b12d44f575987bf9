"""What was said most recently, for a server that has lost it."""

from serve_app.conversation.settings import SAMPLE_RATE_HZ

_SAMPLE_BYTES = 4
_ONSET_BYTES = 2 * SAMPLE_RATE_HZ * _SAMPLE_BYTES
"""Kept while nobody speaks: speech is recognised only after it has gone on for a while."""
_MAX_BYTES = 15 * SAMPLE_RATE_HZ * _SAMPLE_BYTES
"""A server takes at most 20 s of one session at once."""


class RecentAudio:
    """Float32 samples, sent or not, counted from the first one of the current socket."""

    def __init__(self) -> None:
        self.is_spoken = False
        """The server hears speech: everything is kept, as long as it fits."""
        self._audio = bytearray()
        self._start = 0
        """Position of the first sample that is kept, in the audio of the current socket."""

    def add(self, audio: bytes) -> None:
        self._audio += audio
        most = _MAX_BYTES if self.is_spoken else _ONSET_BYTES
        self._drop(len(self._audio) - most)

    def unheard(self, heard_samples: int) -> bytes:
        """What follows the samples that the server has heard. The audio of a new socket begins
        with it."""
        self._drop((heard_samples - self._start) * _SAMPLE_BYTES)
        self._start = 0
        return bytes(self._audio)

    def _drop(self, count: int) -> None:
        count = max(0, min(count, len(self._audio)))
        del self._audio[:count]
        self._start += count // _SAMPLE_BYTES
