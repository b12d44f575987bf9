"""Something of which the newest state is to be written, whatever it takes."""

import asyncio
import random
from collections.abc import Awaitable, Callable

_FIRST_S = 0.25
_LONGEST_S = 5.0


class Writer:
    """Writes the newest state, and tries again until that is done: at once when there is news, and
    else after a pause, which grows. What is superseded while it waits is skipped."""

    def __init__(self, write: Callable[[], Awaitable[bool]]) -> None:
        """`write` writes the state as it is when it is called. It returns whether there is nothing
        left to try, and does not raise."""
        self._write = write
        self._is_new = asyncio.Event()
        self.is_done = asyncio.Event()
        """Nothing waits to be written."""
        self.is_done.set()

    def renew(self) -> None:
        """There is something new to write. Never waits."""
        self.is_done.clear()
        self._is_new.set()

    async def run(self) -> None:
        """Until cancelled."""
        pause_s = _FIRST_S
        while True:
            await self._is_new.wait()
            self._is_new.clear()
            if not await self._write():
                await self._news_within(random.uniform(pause_s / 2, pause_s))
                pause_s = min(2 * pause_s, _LONGEST_S)
                self._is_new.set()
                continue
            pause_s = _FIRST_S
            if not self._is_new.is_set():
                self.is_done.set()

    async def _news_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._is_new.wait()
        except TimeoutError:
            return
