"""Voices, asked one after the other until the reply is said."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace

from serve_app.agent.chain import Chain, Link
from serve_app.agent.engines import Speech, TtsEngine
from serve_app.agent.text.reply_text import ReplyText
from serve_app.agent.tts.reached import Reached
from serve_app.agent.tts.resample import SpeechConverter
from serve_app.conversation.sound import Sound
from serve_app.errors import EngineError
from serve_app.protocol.formats import AudioFormat

log = logging.getLogger(__name__)

_Speeches = AsyncGenerator[Speech, None]
_Voice = Link[TtsEngine]


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

    async def speak(self, text: ReplyText, sound: Sound, format: AudioFormat) -> _Speeches:
        """One reply in `format`; pcm is resampled to it. `sound` is what the client asked for.

        A clause that a voice has no sound for is said by the next one that has. What none of them
        can say is passed on without audio, as that (Speech.is_said).

        Closing the generator stops the synthesis. Raises the EngineError of the last engine that
        was asked; a reply without any sound is one.
        """
        reached = Reached()
        failure: EngineError | None = None
        for link in self._chain.admitted():
            reached.begin()
            try:
                with link.attempt(has_option=bool(self._asked(link, sound).voice)) as attempt:
                    speeches = self._by(link, text.after(reached.chars), sound, format)
                    async with aclosing(speeches):
                        async for spoken in speeches:
                            attempt.has_begun = attempt.has_begun or bool(spoken.audio)
                            for speech in reached.add(spoken):
                                yield speech
                    reached.check_sound()
                if reached.unsaid:
                    log.info("tts: %s has no sound for %d letters", link.name, reached.unsaid)
                return
            except EngineError as error:
                if not reached.may_go_on():
                    raise
                failure = error
        for speech in reached.left_out():
            yield speech
        assert failure is not None, "a chain has an engine"
        raise failure

    async def aclose(self) -> None:
        """Closes all of them."""
        await self._chain.aclose()

    def _asked(self, link: _Voice, sound: Sound) -> Sound:
        return replace(sound, voice="") if link.name in self._own_voices else sound

    async def _by(
        self, link: _Voice, clauses: AsyncIterator[str], sound: Sound, format: AudioFormat
    ) -> _Speeches:
        """The clauses by one voice; of those that it cannot say, by another one."""
        converter = SpeechConverter(link.engine.format, format)
        async with aclosing(link.engine.speak(clauses, self._asked(link, sound))) as speeches:
            async for spoken in speeches:
                if spoken.is_said or not any(map(str.isalnum, spoken.text)):
                    yield converter.push(spoken)
                    continue
                yield Speech(converter.flush(), "")
                converter = SpeechConverter(link.engine.format, format)
                others = self._chain.links[self._chain.links.index(link) + 1 :]
                async with aclosing(self._by_any(others, spoken, sound, format)) as said:
                    async for speech in said:
                        yield speech
        yield Speech(converter.flush(), "")

    async def _by_any(
        self, links: Sequence[_Voice], unsaid: Speech, sound: Sound, format: AudioFormat
    ) -> _Speeches:
        """`unsaid` by the first of these voices that has a sound for it."""
        said = ""
        for link in links:
            try:
                with link.attempt(has_option=bool(self._asked(link, sound).voice)) as attempt:
                    speeches = self._aloud(link, unsaid.text, sound, format)
                    async with aclosing(speeches):
                        async for speech in speeches:
                            attempt.has_begun = True
                            said += speech.text
                            yield speech
            except EngineError as error:
                log.warning("tts: %s was to say a clause in place of another: %s", link.name, error)
            if said:
                break
        if rest := unsaid.text[len(said) :]:
            yield Speech(b"", rest, is_said=False)

    async def _aloud(self, link: _Voice, text: str, sound: Sound, format: AudioFormat) -> _Speeches:
        """One clause by one voice; nothing if it has no sound for it."""
        converter = SpeechConverter(link.engine.format, format)
        is_aloud, waiting = False, ""
        async with aclosing(link.engine.speak(_one(text), self._asked(link, sound))) as speeches:
            async for spoken in speeches:
                is_aloud = is_aloud or bool(spoken.audio)
                waiting += spoken.text
                if is_aloud:
                    yield Speech(converter.push(spoken).audio, waiting, spoken.is_exact)
                    waiting = ""
        if is_aloud:
            yield Speech(converter.flush(), "")


async def _one(text: str) -> AsyncIterator[str]:
    yield text
