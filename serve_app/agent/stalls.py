"""Notices that this process did not run for a while: it was stopped, or found no CPU.

Its deadlines pass meanwhile, although provider and model had no time to answer. So what fails then
is not their fault: it is asked for again.
"""

import asyncio
from collections.abc import Callable

from serve_app.errors import EngineError, EngineUnavailable

_LOOK_S = 0.25
_STALL_S = 2.0
"""Shorter than every deadline of an engine."""


class Stalls:
    """Looks at the clock of its event loop, while `watch` runs."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._ended_at_s = float("-inf")

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            due_s = self._clock() + _LOOK_S
            await asyncio.sleep(_LOOK_S)
            if self._clock() - due_s > _STALL_S:
                self._ended_at_s = self._clock()

    def excused(self, error: Exception, since_s: float) -> Exception:
        """The error of something that was under way since then, or instead of it that of the
        agent, if the process has stood still and another try may do better."""
        is_excusable = isinstance(error, EngineError) and error.retryable
        if not is_excusable or self._ended_at_s < since_s:
            return error
        return EngineUnavailable("agent", "the replica did not run for a while")
