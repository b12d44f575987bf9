"""The timers that a conversation asks for: each ends as an event in the inbox."""

import asyncio

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.ingress.inbox import Inbox


class Timers:
    """At most one of a kind is armed."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._armed: dict[ev.Timer, asyncio.TimerHandle] = {}

    def arm(self, effect: ef.Arm) -> None:
        """One that is armed already starts anew."""
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
        self._inbox.put_or_fail(event)
