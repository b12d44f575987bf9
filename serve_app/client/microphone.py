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
        self.is_cut = False
        """There is no socket. Speech that was cut off is kept from its beginning: the user falls
        silent soon, and the silence of a long outage must not push the words out."""
        self._audio = bytearray()
        self._start = 0
        """Position of the first sample that is kept, in the audio of the current socket."""
        self._unsent = 0
        """Bytes at the end that the current socket has not been sent."""

    def add(self, audio: bytes, is_sent: bool = True) -> None:
        """`is_sent`: the caller sends it. Otherwise it waits for `next_unsent`."""
        if self.is_cut and self.is_spoken:
            audio = audio[: max(0, _MAX_BYTES - len(self._audio))]
        self._audio += audio
        if not is_sent:
            self._unsent += len(audio)
        most = _MAX_BYTES if self.is_spoken or self._unsent else _ONSET_BYTES
        self._drop(len(self._audio) - most)

    def rewind(self, heard_samples: int) -> None:
        """The audio of a new socket begins with what follows the samples that the server has
        heard."""
        self._drop((heard_samples - self._start) * _SAMPLE_BYTES)
        self._start, self._unsent = 0, len(self._audio)
        self.is_cut = False

    def next_unsent(self, most_bytes: int) -> bytes:
        """What the new socket is to be sent next; empty when it has everything."""
        at = len(self._audio) - self._unsent
        audio = bytes(self._audio[at : at + most_bytes])
        self._unsent -= len(audio)
        return audio

    def _drop(self, count: int) -> None:
        count = max(0, min(count, len(self._audio)))
        del self._audio[:count]
        self._start += count // _SAMPLE_BYTES
        self._unsent = min(self._unsent, len(self._audio))
