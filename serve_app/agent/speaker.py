"""A reply: the LLM writes, the voice speaks clause by clause, both at the same time.

What the LLM writes is made speakable before it is cut, and what the voice gets is what `Clause` and
`Piece` carry. So captions and the history hold the words as they were said, without markdown, and
their place in the audio is known.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing

from serve_app.agent.engines import LlmEngine, Speech
from serve_app.agent.parts import Clause, ReplyPart
from serve_app.agent.text.clauses import ClauseSplitter
from serve_app.agent.text.speakable import Speakable
from serve_app.agent.tts.chain import TtsChain
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.piece import Piece
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.protocol.formats import AudioFormat, parse_format

_PIECE_S = 0.5
"""Longest piece of audio that is sent: short enough to be cut off, long enough that a client
which plays pieces one after the other, as Echo's does, has few seams."""
_PIECES_AHEAD = 64
"""Bound of the queues between LLM, voice and caller."""


_Queue = asyncio.Queue[ReplyPart | Exception | None]


class Speaker:
    """Puts an LLM and a voice together."""

    def __init__(
        self,
        llm: LlmEngine,
        voices: TtsChain,
        format: AudioFormat,
        splitter: Callable[[], ClauseSplitter] = ClauseSplitter,
    ) -> None:
        """`format` is the client format, unless a client asks for its own sample rate."""
        self._llm = llm
        self._voices = voices
        self._format = format
        self._splitter = splitter

    def reply(
        self, chat: Sequence[ChatMessage], sound: Sound = ANY_SOUND
    ) -> AsyncGenerator[ReplyPart, None]:
        """Clauses and audio as they come. Closing the iterator stops LLM and voice.

        Raises EngineError (stage `llm` or `tts`). What the LLM had written before it failed
        is still spoken.
        """
        return self._speak_as_written(self._llm.stream(chat), sound)

    def say(self, text: str, sound: Sound = ANY_SOUND) -> AsyncGenerator[ReplyPart, None]:
        """`text` as speech, in the same shape."""
        return self._speak_as_written(_one(text), sound)

    async def _speak_as_written(
        self, stream: AsyncGenerator[str, None], sound: Sound
    ) -> AsyncGenerator[ReplyPart, None]:
        parts: _Queue = asyncio.Queue(_PIECES_AHEAD)
        clauses: asyncio.Queue[str | None] = asyncio.Queue(_PIECES_AHEAD)
        writer = asyncio.create_task(self._write(stream, clauses, parts))
        speaker = asyncio.create_task(self._speak(clauses, sound, parts))
        failure: Exception | None = None
        try:
            while (part := await parts.get()) is not None:
                if isinstance(part, Exception):
                    failure = failure or part
                else:
                    yield part
        finally:
            writer.cancel()
            speaker.cancel()
            await asyncio.gather(writer, speaker, return_exceptions=True)
        if failure is not None:
            raise failure

    async def _write(
        self,
        stream: AsyncGenerator[str, None],
        clauses: asyncio.Queue[str | None],
        parts: _Queue,
    ) -> None:
        speakable, splitter = Speakable(), self._splitter()
        try:
            async with aclosing(stream):
                async for text in stream:
                    for clause in splitter.push(speakable.push(text)):
                        await _hand_over(clause, clauses, parts)
        except Exception as error:  # handed to the caller, who raises it
            await parts.put(error)
        for clause in (*splitter.push(speakable.flush()), *splitter.flush()):
            await _hand_over(clause, clauses, parts)
        await clauses.put(None)

    async def _speak(self, clauses: asyncio.Queue[str | None], sound: Sound, parts: _Queue) -> None:
        try:
            rate_hz = sound.sample_rate_hz
            format = parse_format(f"pcm_{rate_hz}") if rate_hz else self._format
            speeches = self._voices.speak(_until_none(clauses), sound.voice, format)
            async with aclosing(speeches):
                async for speech in speeches:
                    for piece in pieces(speech, format):
                        await parts.put(piece)
        except Exception as error:  # handed to the caller, who raises it
            await parts.put(error)
        await parts.put(None)


def pieces(speech: Speech, format: AudioFormat) -> list[Piece]:
    """Cuts speech, whose audio has this `format`, into pieces of at most half a second, the text
    in proportion."""
    size = int(_PIECE_S * format.bytes_per_second) // 2 * 2
    total = len(speech.audio)
    count = max(1, -(-total // size))
    text_ends = [round(len(speech.text) * (i + 1) / count) for i in range(count)]
    cut = []
    for i, text_end in enumerate(text_ends):
        audio = speech.audio[i * size : (i + 1) * size]
        text = speech.text[text_ends[i - 1] if i else 0 : text_end]
        cut.append(Piece(audio, text, format.seconds(len(audio))))
    return cut


async def _hand_over(clause: str, clauses: asyncio.Queue[str | None], parts: _Queue) -> None:
    await parts.put(Clause(clause))
    await clauses.put(clause)


async def _one(text: str) -> AsyncGenerator[str, None]:
    yield text


async def _until_none(queue: asyncio.Queue[str | None]) -> AsyncIterator[str]:
    while (item := await queue.get()) is not None:
        yield item
