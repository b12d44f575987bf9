"""When the next text of a reply has to be there."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from serve_app.errors import EngineTimeout

T = TypeVar("T")


class Due:
    """For one event loop. The limit counts from when it is set."""

    def __init__(self, limit_s: float) -> None:
        self.again_in(limit_s)

    def again_in(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._at_s = asyncio.get_running_loop().time() + limit_s

    async def wait_for(self, work: Awaitable[T]) -> T:
        """Raises EngineTimeout."""
        try:
            async with asyncio.timeout_at(self._at_s):
                return await work
        except TimeoutError:
            raise EngineTimeout("llm", f"no text within {self._limit_s:g} s") from None
