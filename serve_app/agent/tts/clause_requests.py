"""Voices that take a whole text a request: one for each clause, the next one ahead."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from serve_app.agent.engines import Speech
from serve_app.agent.tts.speech_progress import Progress, ProviderMessage, next_message
from serve_app.protocol.formats import AudioFormat

_REQUESTS = 2
"""At the same time for one reply: the clause that is heard and the next one, so that no gap
lies between them. More would be thrown away when the user interrupts."""
_CHUNKS = 64
"""Pieces of audio of a clause that wait for their reader; then the connection has to wait."""

Request = Callable[[str], AsyncGenerator[bytes, None]]


async def speak_by_clause(
    clauses: AsyncIterator[str], request: Request, format: AudioFormat, timeout_s: float
) -> AsyncGenerator[Speech, None]:
    """As TtsEngine.speak; `request` gives the audio of a text, in `format`.

    A clause of symbols alone gives its text and no audio. What a clause fails with is raised
    after the audio of those before it. Raises EngineTimeout when a clause that is due gives
    no audio for `timeout_s`.
    """
    queue: asyncio.Queue[_Clause | Exception | None] = asyncio.Queue(_REQUESTS + 1)
    slots = asyncio.Semaphore(_REQUESTS)
    requester = asyncio.create_task(_request_ahead(clauses, request, slots, queue))
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
    request: Request,
    slots: asyncio.Semaphore,
    queue: "asyncio.Queue[_Clause | Exception | None]",
) -> None:
    clause: _Clause | None = None
    try:
        async for text in clauses:
            await slots.acquire()
            if clause is not None:
                await clause.has_begun.wait()  # its first audio is more urgent
            clause = _Clause(text, request)
            queue.put_nowait(clause)
        queue.put_nowait(None)
    except Exception as error:  # handed to the reader, who raises it
        queue.put_nowait(error)


class _Clause:
    """One request, which runs ahead of its reader."""

    def __init__(self, text: str, request: Request) -> None:
        self._text = text
        self._messages: asyncio.Queue[ProviderMessage | Exception] = asyncio.Queue(_CHUNKS)
        self.has_begun = asyncio.Event()
        """Set with its first audio, or its end."""
        self.task = asyncio.create_task(self._run(request))

    def cancel(self) -> None:
        """Closes its connection."""
        self.task.cancel()

    async def speeches(self, format: AudioFormat, timeout_s: float) -> AsyncGenerator[Speech, None]:
        """What it says, in order."""
        progress = Progress(format)
        progress.put(self._text)
        progress.end()
        while not progress.finished:
            if speech := progress.heard(await next_message(self._receive, progress, timeout_s)):
                yield speech

    async def _receive(self) -> ProviderMessage:
        item = await self._messages.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def _run(self, request: Request) -> None:
        try:
            if any(map(str.isalnum, self._text)):
                async with aclosing(request(self._text.strip())) as pieces:
                    async for piece in pieces:
                        await self._put(ProviderMessage(piece))
            await self._put(ProviderMessage(is_final=True))
        except Exception as error:  # handed to the reader, who raises it
            await self._put(error)

    async def _put(self, item: ProviderMessage | Exception) -> None:
        self.has_begun.set()
        await self._messages.put(item)
