"""The door of a replica: who stands before it, who comes in, and who has to leave."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from starlette.websockets import WebSocket

from serve_app.errors import AtCapacity
from serve_app.ingress.access import Gate, Guest
from serve_app.ingress.driver import Driver
from serve_app.ingress.waiting_room import Visitor, WaitingRoom
from serve_app.settings.schema import IngressSettings

_FULL = "all sessions are taken: try again later"
_CROWDED = "too many sockets wait without an `open`: connect again"


class Door:
    """Knows all sockets of the replica: those that wait without an `open`, and the sessions."""

    def __init__(self, settings: IngressSettings, gate: Gate) -> None:
        self._settings = settings
        self._gate = gate
        self._waiting = WaitingRoom(settings.socket.waiting, settings.socket.waiting_of_address)
        self._drivers: dict[Driver, None] = {}

    @property
    def sessions(self) -> int:
        """Those that have a place."""
        return sum(driver.has_place for driver in self._drivers)

    @property
    def unfinished(self) -> int:
        """The sessions, and those that have lost their place but are still being saved."""
        return sum(driver.has_opened for driver in self._drivers)

    @property
    def waiting(self) -> int:
        """The other sockets: no `open` has come, or it was refused and they are being closed."""
        return len(self._drivers) - self.unfinished

    def receive(self, socket: WebSocket) -> Guest:
        """Who is at an accepted socket. Raises VoiceError for one that may not even wait."""
        guest = self._gate.receive(socket)
        self._find_place()
        return guest

    def enter(self, driver: Driver, guest: Guest) -> Coroutine[Any, Any, None]:
        """The session of a guest, from the accepted socket to its end, for a task of its own."""
        visitor = self._waiting.enter(guest.address, lambda: driver.fail(AtCapacity(_CROWDED)))
        self._drivers[driver] = None
        return self._hold(driver, visitor, self._open_timeout_s(guest))

    async def run(self) -> None:
        """Until cancelled. Sessions whose key has ended, or whose time is used up, end with it."""
        while True:
            await asyncio.sleep(self._gate.settings.recheck_s)
            await self._gate.look_again()
            for driver in list(self._drivers):
                driver.check_guest()

    def drain(self, left_s: float) -> None:
        """The replica is about to stop."""
        for driver in self._drivers:
            driver.drain(left_s)

    async def _hold(self, driver: Driver, visitor: Visitor, open_timeout_s: float) -> None:
        try:
            await driver.run(open_timeout_s, partial(self._admit, visitor))
        finally:
            del self._drivers[driver]
            self._waiting.leave(visitor)

    def _open_timeout_s(self, guest: Guest) -> float:
        """A page may wait for its visitor's click; a client that has shown no key yet may not."""
        known_s = self._settings.open_timeout_s
        return known_s if guest.has_shown_a_key else min(known_s, self._gate.settings.key_timeout_s)

    def _admit(self, visitor: Visitor) -> None:
        """Raises AtCapacity."""
        self._waiting.leave(visitor)
        self._find_place()

    def _find_place(self) -> None:
        """Raises AtCapacity."""
        if self.sessions >= self._settings.max_sessions:
            raise AtCapacity(_FULL)
