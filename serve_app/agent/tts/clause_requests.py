"""Voices that take a whole text per request: one request per clause, the next one ahead of time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace

from serve_app.agent.engines import Speech
from serve_app.agent.tts.speech_progress import Progress, ProviderMessage, next_message
from serve_app.protocol.formats import AudioFormat

_REQUESTS = 2
"""At the same time for one reply: the current clause and the next one, so that there is no gap
between them. More would only be thrown away when the user interrupts."""
_CHUNKS = 64
"""How many pieces of a clause's audio may wait for the reader; then the connection has to wait."""

Synthesise = Callable[[str], AsyncGenerator[bytes, None]]
"""From a text to its audio."""


async def speak_by_clause(
    clauses: AsyncIterator[str], synthesise: Synthesise, format: AudioFormat, timeout_s: float
) -> AsyncGenerator[Speech, None]:
    """Does what TtsEngine.speak does; `synthesise` makes a text's audio, in `format`.

    A clause of symbols alone yields its text and no audio; one of words for which there is no audio
    counts as unsaid. If a clause fails, its error is raised
    after the audio of the clauses before it. Raises EngineTimeout when a clause that is due gives
    no audio for `timeout_s`.
    """
    queue: asyncio.Queue[_Clause | Exception | None] = asyncio.Queue(_REQUESTS + 1)
    slots = asyncio.Semaphore(_REQUESTS)
    requester = asyncio.create_task(_request_ahead(clauses, synthesise, slots, queue))
    clause: _Clause | None = None
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            clause = item
            async with aclosing(clause.speeches(format, timeout_s)) as speeches:
                async for speech in speeches:
                    yield speech
            slots.release()
    finally:
        requester.cancel()
        left = [clause, *(queue.get_nowait() for _ in range(queue.qsize()))]
        for item in left:
            if isinstance(item, _Clause):
                item.cancel()
        tasks = [item.task for item in left if isinstance(item, _Clause)]
        await asyncio.gather(requester, *tasks, return_exceptions=True)


async def _request_ahead(
    clauses: AsyncIterator[str],
    synthesise: Synthesise,
    slots: asyncio.Semaphore,
    queue: "asyncio.Queue[_Clause | Exception | None]",
) -> None:
    clause: _Clause | None = None
    try:
        async for text in clauses:
            await slots.acquire()
            if clause is not None:
                await clause.has_begun.wait()  # its first audio is more urgent
            clause = _Clause(text, synthesise)
            queue.put_nowait(clause)
        queue.put_nowait(None)
    except Exception as error:  # the reader raises it
        queue.put_nowait(error)


class _Clause:
    """One clause and its request, which runs ahead of the reader."""

    def __init__(self, text: str, synthesise: Synthesise) -> None:
        self._text = text
        self._messages: asyncio.Queue[ProviderMessage | Exception] = asyncio.Queue(_CHUNKS)
        self.has_begun = asyncio.Event()
        """Set by its first audio, or its end."""
        self.task = asyncio.create_task(self._run(synthesise))

    def cancel(self) -> None:
        """Ends the request and closes its connection."""
        self.task.cancel()

    async def speeches(self, format: AudioFormat, timeout_s: float) -> AsyncGenerator[Speech, None]:
        """What it says, in order."""
        progress = Progress(format)
        progress.put(self._text)
        progress.end()
        is_aloud = False
        while not progress.finished:
            if speech := progress.heard(await next_message(self._receive, progress, timeout_s)):
                is_aloud = is_aloud or bool(speech.audio)
                is_said = is_aloud or not _has_words(self._text)
                yield replace(speech, is_said=is_said)

    async def _receive(self) -> ProviderMessage:
        item = await self._messages.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def _run(self, synthesise: Synthesise) -> None:
        try:
            if _has_words(self._text):
                async with aclosing(synthesise(self._text.strip())) as pieces:
                    async for piece in pieces:
                        await self._put(ProviderMessage(piece))
            await self._put(ProviderMessage(is_final=True))
        except Exception as error:  # the reader raises it
            await self._put(error)

    async def _put(self, item: ProviderMessage | Exception) -> None:
        self.has_begun.set()
        await self._messages.put(item)


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))
