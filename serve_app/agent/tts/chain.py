"""Voices, asked one after the other until the reply is said."""

import logging
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import replace

from serve_app.agent.chain import Chain
from serve_app.agent.engines import Speech, TtsEngine
from serve_app.agent.text.reply_text import ReplyText
from serve_app.agent.tts.resample import SpeechConverter
from serve_app.errors import EngineError
from serve_app.protocol.formats import AudioFormat

log = logging.getLogger(__name__)


class TtsChain:
    """When a voice fails, the next one says what is left of the text. Before the first audio that
    is all of it. After the first audio only one more voice is asked, and only if the voice that
    failed knows exactly how far it got: nothing is said twice."""

    def __init__(self, chain: Chain[TtsEngine], own_voices: Collection[str] = ()) -> None:
        """`own_voices` names the engines that speak only with their configured voice. They belong
        to other providers than the first one does, so a client's choice means nothing to them."""
        self._chain = chain
        self._own_voices = frozenset(own_voices)

    def warm_up(self) -> None:
        """Warms up all of them, so that a fall-over is immediate."""
        for link in self._chain.links:
            link.engine.warm_up()

    async def speak(
        self, text: ReplyText, voice: str, format: AudioFormat
    ) -> AsyncGenerator[Speech, None]:
        """One reply in `format`; pcm is resampled to it. `voice` is what the client asked for.

        What a voice has no sound for is left out, since nobody hears it. If that is all of the
        reply, the next voice is asked.

        Closing the generator stops the synthesis. Raises the EngineError of the last engine that
        was asked.
        """
        reached = _Reached()
        failure: EngineError | None = None
        for link in self._chain.admitted():
            asked = "" if link.name in self._own_voices else voice
            converter = SpeechConverter(link.engine.format, format)
            try:
                with link.attempt(has_option=bool(asked)) as attempt:
                    speeches = link.engine.speak(text.after(reached.chars), asked)
                    async with aclosing(speeches):
                        async for spoken in speeches:
                            attempt.has_begun = attempt.has_begun or bool(spoken.audio)
                            if speech := reached.add(converter.push(spoken)):
                                yield speech
                    if last := reached.add(Speech(converter.flush(), "")):
                        yield last
                    reached.check_sound()
                if reached.unsaid:
                    log.info("tts: %s has no sound for %d letters", link.name, reached.unsaid)
                return
            except EngineError as error:
                if not reached.may_go_on():
                    raise
                failure = error
        assert failure is not None, "a chain has an engine"
        raise failure

    async def aclose(self) -> None:
        """Closes all of them."""
        await self._chain.aclose()


class _Reached:
    """How far the voices of one reply have got."""

    def __init__(self) -> None:
        self.chars = 0
        self.unsaid = 0
        """Characters that the voice has no sound for."""
        self._waiting = ""
        """Text before the first audio, which it is passed on with."""
        self._is_exact = True
        self._has_audio = False
        self._has_gone_on = False

    def add(self, speech: Speech) -> Speech | None:
        """What is passed on for `speech`, if anything. Text goes with sound, so that it counts as
        heard only when that was played."""
        self.chars += len(speech.text)
        self._is_exact = speech.is_exact
        if not speech.is_said:
            self.unsaid += len(speech.text.strip())
            return None
        self._has_audio = self._has_audio or bool(speech.audio)
        text, self._waiting = self._waiting + speech.text, ""
        if not self._has_audio:
            self._waiting = text
            return None
        return replace(speech, text=text) if speech.audio or text else None

    def check_sound(self) -> None:
        """Raises EngineError when a voice has ended a reply without a sound."""
        if self.chars and not self._has_audio:
            raise EngineError("tts", "the voice has no sound for this text")

    def may_go_on(self) -> bool:
        """Whether another voice may say the rest; after the first audio only once."""
        if not self._has_audio:
            self.chars, self.unsaid, self._waiting = 0, 0, ""
            return True
        may = self._is_exact and not self._has_gone_on
        self._has_gone_on = True
        return may
