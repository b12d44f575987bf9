"""Coroutines in virtual time: when nobody can go on, the clock jumps to whoever waits next."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Has a clock of its own, which is all that waiting moves."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits for ever")
        self.now_s += 0.0 if ready else max(0.0, timeout or 0.0)
        return ready


def in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Runs it to its end. The clock starts at 0; calculations take no time."""
    selector = _Selector()

    def loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.SelectorEventLoop(selector)
        loop.time = lambda: selector.now_s  # type: ignore[method-assign]
        return loop

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)


def now_s() -> float:
    """Virtual time, where a coroutine runs."""
    return asyncio.get_running_loop().time()
