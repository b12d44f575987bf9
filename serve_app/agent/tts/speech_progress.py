"""Which part of the text a provider's audio says, and whether more audio is due."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from serve_app.agent.engines import Speech
from serve_app.errors import EngineTimeout
from serve_app.protocol.formats import AudioFormat

_CHARS_PER_SECOND = 15
"""English at 150 words a minute. Used to estimate the voice's place when there is no alignment."""
_MAX_UNSAID_CHARS = 1_000
"""How much text may be sent ahead: a minute of speech, about 3 MB of pcm_22050."""
_FINAL_TIMEOUT_S = 2.0
"""How long to wait for `isFinal` after the last letter. Nothing is lost without it."""
_SILENT_BYTE = {"ulaw": b"\xff", "alaw": b"\xd5"}


@dataclass(frozen=True, slots=True)
class ProviderMessage:
    """What matters in one message from a TTS provider."""

    audio: bytes = b""
    chars: str | None = None
    """The part of the text that `audio` says, if the provider tells."""
    is_final: bool = False


class Progress:
    """How far the voice has got in the text.

    ElevenLabs reports characters of the text that it received, which differs from ours in white
    space and symbols. So letters and digits are counted, and our own text is cut accordingly.
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
        """Since when (loop time) there has been text without audio; None if there is none."""
        self.finished = False
        self._moved = asyncio.Event()

    @property
    def knows_what_is_left(self) -> bool:
        """Whether the place where the audio ends is exact: then another voice could go on."""
        return self._is_aligned or not self._has_audio

    @property
    def is_said(self) -> bool:
        """Whether the whole text is there and every letter of it has been said."""
        return self.has_all_text and self.knows_what_is_left and not self._has_letters_left

    @property
    def _has_letters_left(self) -> bool:
        return any(map(str.isalnum, self._text[self._said :]))

    async def room(self) -> None:
        """Waits until more text may be sent: not at all, unless a lot of it is still unsaid."""
        while self.knows_what_is_left and len(self._text) - self._said > _MAX_UNSAID_CHARS:
            self._moved.clear()
            await self._moved.wait()

    def restart(self) -> str:
        """The text that is left, for another connection. Audio is due from now on."""
        self._odd_byte = b""  # the rest of this sample is lost
        self.waiting_since = None
        self._update_waiting()
        return self._text[self._said :]

    def put(self, clause: str) -> None:
        """`clause` is being sent."""
        self._text += clause
        self._update_waiting()

    def end(self) -> None:
        """There will be no more text."""
        self.has_all_text = True
        self._update_waiting()

    def heard(self, message: ProviderMessage) -> Speech | None:
        """The speech in a message, if there is any."""
        self.finished = message.is_final
        audio = self._whole_samples(message.audio)
        text = self._text[self._said :] if self.finished else self._advance(message)
        self._said += len(text)
        self._has_audio = self._has_audio or bool(audio)
        self.waiting_since = None
        self._update_waiting()
        self._moved.set()
        is_exact = self.finished or self.knows_what_is_left
        return Speech(audio, text, is_exact) if audio or text else None

    def _advance(self, message: ProviderMessage) -> str:
        rest = self._text[self._said :]
        if message.chars is not None:
            self._is_aligned = True
            return _first_letters(rest, sum(map(str.isalnum, message.chars)))
        if self._is_aligned:
            return ""
        chars = round(self._format.seconds(len(message.audio)) * _CHARS_PER_SECOND)
        # The last letter is kept for the end: only that shows that all has been said.
        return rest[: min(chars, len(rest) - 1)] if rest else ""

    def _update_waiting(self) -> None:
        is_waiting = self.has_all_text or (self.knows_what_is_left and self._has_letters_left)
        if is_waiting and self.waiting_since is None:
            self.waiting_since = asyncio.get_running_loop().time()

    def _whole_samples(self, audio: bytes) -> bytes:
        """Makes each piece even in size, whatever the codec: Echo's clients read 16-bit numbers.

        An odd byte waits for the next piece; the last piece is filled up with a byte of silence.
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


async def next_message(
    receive: Callable[[], Awaitable[ProviderMessage]], progress: Progress, timeout_s: float
) -> ProviderMessage:
    """The next message with audio, or the end of the reply.

    Waits without limit while there is nothing to say; otherwise raises EngineTimeout after
    `timeout_s`.
    """
    clock = asyncio.get_running_loop().time
    started = clock()
    while True:
        since, is_said = progress.waiting_since, progress.is_said
        # Nothing is due while the caller pauses, or before text is sent. If text is sent during
        # this wait, its deadline counts from the next round on.
        limit_s = min(timeout_s, _FINAL_TIMEOUT_S) if is_said else timeout_s
        try:
            async with asyncio.timeout_at(max(started, since or clock()) + limit_s):
                message = await receive()
            if message.audio or message.is_final:
                return message
        except TimeoutError:
            if is_said:
                return ProviderMessage(is_final=True)
            if since is not None:
                raise EngineTimeout("tts", f"no audio for {timeout_s:g} s") from None
