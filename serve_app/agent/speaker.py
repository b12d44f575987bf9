"""A reply: the LLM writes, the voice speaks clause by clause, both at the same time.

The text is made speakable before it is cut into clauses, and a Piece carries the text as it is
spoken. So captions and the history show the words that were said, without markdown, and where they
are in the audio is known.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import replace
from typing import Any

from serve_app.agent.engines import LlmEngine, Speech
from serve_app.agent.parts import Began, Called, ReplyPart, ToolUsed
from serve_app.agent.stalls import Stalls
from serve_app.agent.text.characters import fit
from serve_app.agent.text.clauses import ClauseSplitter
from serve_app.agent.text.reply_text import MAX_REPLY_CHARS, ReplyText
from serve_app.agent.tools.tool_user import ToolUser
from serve_app.agent.tts.chain import TtsChain
from serve_app.conversation.calls import NO_OFFER, Offer
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.piece import Piece
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.errors import EngineError, VoiceError
from serve_app.outline import outline
from serve_app.protocol.formats import AudioFormat, parse_format

log = logging.getLogger(__name__)

_PIECE_S = 0.5
"""Longest piece of audio that is sent: short enough to be cut off, long enough that a client
which plays pieces one after the other, as Echo's does, has few seams."""


class Speaker:
    """Puts an LLM and the voices together."""

    def __init__(
        self,
        llm: LlmEngine,
        voices: TtsChain,
        format: AudioFormat,
        splitter: Callable[[], ClauseSplitter] = ClauseSplitter,
        under_way: Callable[[], AbstractContextManager[None]] = nullcontext,
        stalls: Stalls | None = None,
    ) -> None:
        """`format` is the client format, unless a client asks for its own sample rate. A reply is
        made within `under_way`, which may raise VoiceError instead. `stalls` excuses what fails
        because this process stood still."""
        self._llm = llm
        self._voices = voices
        self._format = format
        self._splitter = splitter
        self._under_way = under_way
        self._stalls = stalls

    def reply(
        self,
        chat: Sequence[ChatMessage],
        sound: Sound = ANY_SOUND,
        offer: Offer = NO_OFFER,
        tells_tools: bool = False,
    ) -> AsyncGenerator[ReplyPart, None]:
        """The answer to a chat, as it is made. Closing the generator stops LLM and voice. `offer`:
        what the client runs, if the LLM is one that uses tools. `tells_tools`: whether there are
        parts that say which ones were used.

        Raises EngineError (stage `llm` or `tts`), and what else the LLM and `under_way` raise. What
        the LLM had written before it failed is still spoken. A voice that fails stops the LLM.
        """
        if isinstance(self._llm, ToolUser):
            return self._give(self._llm.answer(chat, offer, tells_tools), sound)
        return self._give(self._llm.stream(chat), sound)

    def say(self, text: str, sound: Sound = ANY_SOUND) -> AsyncGenerator[ReplyPart, None]:
        """`text` as speech, in the same shape."""
        return self._give(_one(text), sound)

    def _give(self, written: "_Written", sound: Sound) -> AsyncGenerator[ReplyPart, None]:
        return self._write_down(written) if sound.is_text else self._speak(written, sound)

    async def _write_down(self, written: "_Written") -> AsyncGenerator[ReplyPart, None]:
        """As it was written, with markdown and all that no voice says."""
        began_s, size = asyncio.get_running_loop().time(), 0
        with self._under_way():
            try:
                async with aclosing(written):
                    async for part in written:
                        if isinstance(part, Called | ToolUsed):
                            yield part
                            continue
                        if not size:
                            yield Began()
                        size += len(part)
                        if size > MAX_REPLY_CHARS:
                            raise EngineError("llm", "the reply is too long")
                        yield Piece(b"", fit(part), 0.0)
            except Exception as error:
                raise self._excused(error, began_s) from None

    async def _speak(self, written: "_Written", sound: Sound) -> AsyncGenerator[ReplyPart, None]:
        """Between LLM and voice there is the text, between the voice and the caller nothing.

        The voice does not wait for playback: Serve asks for the next part as soon as it has sent
        one (2.60, replica.py, `call_user_generator`), and the ingress takes each at once. Should
        the ingress hang, gRPC stops this generator when 6 MB are on their way (measured, with
        RAY_SERVE_THROUGHPUT_OPTIMIZED; nothing stops it without).
        """
        began_s = asyncio.get_running_loop().time()
        rate_hz = sound.sample_rate_hz
        format = parse_format(f"pcm_{rate_hz}") if rate_hz else self._format
        text, used = ReplyText(self._splitter()), _Used()
        with self._under_way():
            writer = asyncio.create_task(_write(written, text, used))
            speeches = self._voices.speak(text, sound, format)
            # The voice connects while the LLM is still thinking.
            first = asyncio.create_task(_next(speeches))
            try:
                either: tuple[asyncio.Future[Any], ...] = (first, text.begun)
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if text.has_begun:
                    yield Began()
                speech = None if text.is_empty else await first
                while speech is not None:
                    for tool in used.take():
                        yield tool
                    for piece in pieces(speech, format):
                        yield piece
                    speech = await _next(speeches)
                for tool in used.take():
                    yield tool
                if text.failure is None and (called := await writer) is not None:
                    yield called
                    return
                if text.unsayable and text.failure is None:
                    yield Piece(b"", text.unsayable, 0.0, is_said=False)
                    raise EngineError("tts", "nothing in this reply can be said")
            except Exception as error:
                if text.failure is None:
                    raise self._excused(error, began_s) from None
            finally:
                writer.cancel()
                await asyncio.wait({writer, asyncio.create_task(_close(speeches, first))})
            if text.failure is not None:
                raise self._excused(text.failure, began_s) from None

    def _excused(self, error: Exception, began_s: float) -> Exception:
        """What the caller is told. It is logged by Serve, and by Ray in its dashboard: so the text
        of an error that is not ours, which may quote the chat, ends here."""
        if not isinstance(error, VoiceError):
            log.error("a reply failed:\n%s", outline(error))
            error = EngineError("agent", type(error).__name__)
        return self._stalls.excused(error, began_s) if self._stalls else error


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
        cut.append(Piece(audio, text, format.seconds(len(audio)), speech.is_said))
    return cut


class _Used:
    """The tools that were used, until the caller is told."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, ToolUsed]] = []

    def add(self, used: ToolUsed) -> None:
        self._waiting.append((asyncio.get_running_loop().time(), used))

    def take(self) -> list[ToolUsed]:
        waiting, self._waiting = self._waiting, []
        now_s = asyncio.get_running_loop().time()
        return [replace(used, ago_ms=(now_s - at_s) * 1000) for at_s, used in waiting]


_Written = AsyncGenerator[str | Called | ToolUsed, None] | AsyncGenerator[str, None]


async def _one(text: str) -> AsyncGenerator[str, None]:
    yield text


async def _write(written: _Written, text: ReplyText, used: _Used) -> Called | None:
    """Returns what the client is asked for at the end, if it is."""
    called = None
    try:
        async with aclosing(written):
            async for piece in written:
                if isinstance(piece, Called):
                    called = piece
                elif isinstance(piece, ToolUsed):
                    used.add(piece)
                else:
                    text.write(piece)
    except Exception as error:  # raised when what was written before it has been spoken
        text.end(error)
    else:
        text.end()
    return called


async def _next(speeches: AsyncGenerator[Speech, None]) -> Speech | None:
    return await anext(speeches, None)


async def _close(
    speeches: AsyncGenerator[Speech, None], first: "asyncio.Task[Speech | None]"
) -> None:
    """A task, so that a caller who is cancelled again leaves nothing open."""
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)  # a generator at work cannot be closed
    await speeches.aclose()
