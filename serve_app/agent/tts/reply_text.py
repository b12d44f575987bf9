"""The text of a reply for more than one voice."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator


class ReplyText:
    """Keeps what was written, so that another voice can go on in the middle of it.

    A voice that gives up in the middle of waiting for text would end the iterator that it waits
    for; so that is read here. It is kept whole: engines bound the length of a reply.
    """

    def __init__(self, clauses: AsyncIterator[str]) -> None:
        self._clauses: list[str] = []
        self._has_grown = asyncio.Event()
        self._reader = asyncio.create_task(self._read(clauses))
        self._reader.add_done_callback(lambda _: self._has_grown.set())

    async def after(self, position: int) -> AsyncGenerator[str, None]:
        """Clauses as they are written, without the first `position` characters of the whole.

        Raises what the text ends with.
        """
        number = 0
        while True:
            is_complete = self._reader.done()
            self._has_grown.clear()
            while number < len(self._clauses):
                clause = self._clauses[number]
                number += 1
                if rest := clause[position:]:
                    yield rest
                position = max(0, position - len(clause))
            if is_complete:
                self._reader.result()
                return
            await self._has_grown.wait()

    async def aclose(self) -> None:
        """No more text is wanted."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self, clauses: AsyncIterator[str]) -> None:
        async for clause in clauses:
            self._clauses.append(clause)
            self._has_grown.set()
