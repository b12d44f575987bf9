"""Which text a piece of ElevenLabs' audio says, and whether audio is due."""

import asyncio
from dataclasses import dataclass

from serve_app.engines.base import Speech
from serve_app.protocol.formats import AudioFormat

_CHARS_PER_SECOND = 15
"""English at 150 words a minute: where in the text the voice is when no alignment says so."""
_SILENT_BYTE = {"ulaw": b"\xff", "alaw": b"\xd5"}


@dataclass(frozen=True, slots=True)
class Message:
    """What matters in a message from ElevenLabs."""

    audio: bytes = b""
    chars: str | None = None
    """The part of the input text that `audio` says, if ElevenLabs tells."""
    is_final: bool = False


class Progress:
    """How far the voice is in the text.

    ElevenLabs reports characters of the text as it received it, which differs from ours in
    white space and symbols. So letters and digits are counted and ours is what gets cut.
    """

    def __init__(self, format: AudioFormat) -> None:
        self._format = format
        self._text = ""
        self._said = 0
        self._odd_byte = b""
        self._is_aligned = False
        self._has_audio = False
        self.has_all_text = False
        self.waiting_since: float | None = None
        """Loop time since when there is text without audio; None when there is none."""
        self.finished = False

    def put(self, clause: str) -> None:
        """`clause` is being sent."""
        self._text += clause
        self._update_waiting()

    def end(self) -> None:
        """There will be no more text."""
        self.has_all_text = True
        self._update_waiting()

    def heard(self, message: Message) -> Speech | None:
        """The next piece of speech, if the message has any."""
        self.finished = message.is_final
        audio = self._whole_samples(message.audio)
        text = self._text[self._said :] if self.finished else self._advance(message)
        self._said += len(text)
        self._has_audio = self._has_audio or bool(audio)
        self.waiting_since = None
        self._update_waiting()
        return Speech(audio, text) if audio or text else None

    def _advance(self, message: Message) -> str:
        rest = self._text[self._said :]
        if message.chars is not None:
            self._is_aligned = True
            return _first_letters(rest, sum(map(str.isalnum, message.chars)))
        if self._is_aligned:
            return ""
        return rest[: round(self._format.seconds(len(message.audio)) * _CHARS_PER_SECOND)]

    def _update_waiting(self) -> None:
        knows_what_is_left = self._is_aligned or not self._has_audio
        is_waiting = self.has_all_text or (
            knows_what_is_left and any(map(str.isalnum, self._text[self._said :]))
        )
        if is_waiting and self.waiting_since is None:
            self.waiting_since = asyncio.get_running_loop().time()

    def _whole_samples(self, audio: bytes) -> bytes:
        """Pieces of an even size, whatever the codec: Echo's clients read 16-bit numbers.

        An odd byte waits for the next piece; after the last piece a byte of silence joins it.
        """
        audio = self._odd_byte + audio
        if len(audio) % 2 and self.finished:
            audio += _SILENT_BYTE.get(self._format.codec, b"\0")
        even = len(audio) // 2 * 2
        self._odd_byte = audio[even:]
        return audio[:even]


def _first_letters(text: str, count: int) -> str:
    """`text` up to the letter or digit after the first `count` of them."""
    for position, char in enumerate(text):
        if char.isalnum():
            if count == 0:
                return text[:position]
            count -= 1
    return text
