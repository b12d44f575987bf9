"""The events of one session that wait to be handled: from the socket, the models and the timers."""

import asyncio

from serve_app.conversation import events as ev
from serve_app.errors import TooSlow, VoiceError

_MAX_EVENTS = 4096


class ClientGone(Exception):
    """The client closed the socket or lost it."""


class Inbox:
    """A bounded queue of events. An error in it ends the session."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[ev.Event | VoiceError | ClientGone] = asyncio.Queue(_MAX_EVENTS)

    async def get(self) -> ev.Event | VoiceError | ClientGone:
        return await self._queue.get()

    async def put(self, item: ev.Event | ClientGone) -> None:
        """Waits until there is room."""
        await self._queue.put(item)

    def put_if_room(self, event: ev.Event) -> bool:
        """Returns whether there was room."""
        if self._queue.full():
            return False
        self._queue.put_nowait(event)
        return True

    def put_or_fail(self, event: ev.Event) -> bool:
        """Returns whether there was room. If not, the session fails: it does not keep up."""
        if not (has_room := self.put_if_room(event)):
            self.fail(TooSlow("events of the session pile up"))
        return has_room

    def fail(self, error: VoiceError | ClientGone) -> None:
        """Ends the session, with the error's close code. A full inbox drops its oldest events for
        this."""
        while self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(error)
