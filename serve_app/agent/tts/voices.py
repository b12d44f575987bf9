"""What stands between a voice and a chain of voices."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

from serve_app.agent.engines import Speech, TtsEngine
from serve_app.agent.tts.resample import PcmResampler
from serve_app.protocol.formats import AudioFormat


def resampled(voice: TtsEngine, wire: AudioFormat) -> TtsEngine:
    """`voice` in the format of the wire; as it is, where that makes no difference."""
    is_pcm = voice.format.is_pcm and wire.is_pcm
    return _Resampled(voice, wire) if is_pcm and voice.format.rate_hz != wire.rate_hz else voice


class _Resampled(TtsEngine):
    """Pcm at another rate."""

    def __init__(self, voice: TtsEngine, format: AudioFormat) -> None:
        self.format = format
        self._voice = voice

    def warm_up(self) -> None:
        self._voice.warm_up()

    async def speak(
        self, clauses: AsyncIterator[str], voice: str = ""
    ) -> AsyncGenerator[Speech, None]:
        resampler = PcmResampler(self._voice.format.rate_hz, self.format.rate_hz)
        async with aclosing(self._voice.speak(clauses, voice)) as speeches:
            async for speech in speeches:
                yield replace(speech, audio=resampler.push(speech.audio))
        if rest := resampler.push(b"", last=True):
            yield Speech(rest, "")

    async def aclose(self) -> None:
        await self._voice.aclose()


class OwnVoice(TtsEngine):
    """A fall-back of another provider, for which the voice that a client asks for has no meaning:
    it speaks with the one that it is configured with."""

    def __init__(self, voice: TtsEngine) -> None:
        self.format = voice.format
        self._voice = voice

    def warm_up(self) -> None:
        self._voice.warm_up()

    def speak(self, clauses: AsyncIterator[str], voice: str = "") -> AsyncGenerator[Speech, None]:
        return self._voice.speak(clauses, "")

    async def aclose(self) -> None:
        await self._voice.aclose()
