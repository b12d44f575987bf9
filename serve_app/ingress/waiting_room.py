"""Sockets on which no `open` has come yet. They have no place among the sessions, and may wait for
long: a page that opens its socket when it is loaded waits until somebody clicks."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Visitor:
    """A socket that waits."""

    address: str
    send_away: Callable[[], None]


@dataclass
class WaitingRoom:
    """Who has waited longest makes room: real clients open soon, or can come again. One address
    makes room for itself as long as it has more than its share."""

    most: int
    most_of_address: int
    _visitors: dict[Visitor, None] = field(default_factory=dict)
    """In the order in which they came."""

    def enter(self, address: str, send_away: Callable[[], None]) -> Visitor:
        """Calls `send_away` of the visitor that has to go, if one has to. `address`: empty if it is
        unknown; those of unknown addresses share the room only."""
        same = [visitor for visitor in self._visitors if visitor.address == address]
        if address and len(same) >= self.most_of_address:
            self._send_away(same[0])
        elif len(self._visitors) >= self.most:
            self._send_away(next(iter(self._visitors)))
        visitor = Visitor(address, send_away)
        self._visitors[visitor] = None
        return visitor

    def leave(self, visitor: Visitor) -> None:
        """To be called when the socket opens a conversation or is gone; may be called again."""
        self._visitors.pop(visitor, None)

    def __len__(self) -> int:
        return len(self._visitors)

    def _send_away(self, visitor: Visitor) -> None:
        self.leave(visitor)
        visitor.send_away()
