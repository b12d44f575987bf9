"""The timers that a conversation asks for. One that expires is an event."""

import asyncio
from collections.abc import Callable

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev


class Timers:
    """At most one timer of each kind is armed."""

    def __init__(self, take: Callable[[ev.Event], None]) -> None:
        """`take` is handed the events."""
        self._take = take
        self._armed: dict[ev.Timer, asyncio.TimerHandle] = {}

    def arm(self, effect: ef.Arm) -> None:
        """A timer that is already armed starts again."""
        self.disarm(effect.timer)
        event = ev.Expired(effect.generation, effect.timer)
        loop = asyncio.get_running_loop()
        self._armed[effect.timer] = loop.call_later(effect.seconds, self._expire, event)

    def disarm(self, timer: ev.Timer) -> None:
        if handle := self._armed.pop(timer, None):
            handle.cancel()

    def disarm_all(self) -> None:
        for handle in self._armed.values():
            handle.cancel()
        self._armed.clear()

    def _expire(self, event: ev.Expired) -> None:
        self._armed.pop(event.timer, None)
        self._take(event)
