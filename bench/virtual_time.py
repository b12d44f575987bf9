"""An event loop whose clock jumps: an hour takes seconds, and always takes the same course.

Nothing in it may wait for the outside: no sockets, no threads.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Wedged(Exception):
    """Everybody waits, and nothing is bound to happen."""


class _Clock(selectors.SelectSelector):
    """Where a loop would sleep, the time passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Wedged("everybody waits, and no timer is armed")
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


def run(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. Raises what it raises, and Wedged."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def now_s() -> float:
    """The time where a coroutine runs."""
    return asyncio.get_running_loop().time()
