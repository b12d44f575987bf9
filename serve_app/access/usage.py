"""How much each principal or each address has used. Time is passed in.

Days are those of UTC. Each ingress replica counts by itself: with n replicas, n times as much may
be used at most. A count that all share would have to be asked for before each conversation, and
would be one more process without which nobody can connect.
"""

from dataclasses import dataclass, field

from serve_app.access.keys import shown_time
from serve_app.errors import LimitReached
from serve_app.settings.access import UseLimits

_DAY_S = 86_400
_MOST_NAMES = 100_000
"""Who has used something today. More are not counted apart: see `_of`."""


@dataclass(slots=True)
class _Place:
    """What a session has while it is connected. When it moves to another connection, both hold it
    for a moment: it is one place all the time, and nobody else can take it."""

    since_s: float
    connections: int = 1


@dataclass(slots=True)
class _Use:
    places: dict[str, _Place] = field(default_factory=dict)
    """By session."""
    sessions: int = 0
    ended_s: float = 0.0
    """Seconds of places that are free again."""
    live_since_s: float = 0.0
    """The sum of when each place was taken: nobody has to add them up again and again."""

    def seconds(self, now_s: float) -> float:
        return self.ended_s + len(self.places) * now_s - self.live_since_s

    def at_midnight(self, midnight_s: float) -> "_Use":
        """What lives on has begun with the new day."""
        places = {s: _Place(midnight_s, place.connections) for s, place in self.places.items()}
        return _Use(places, live_since_s=len(places) * midnight_s)


class Usage:
    """Of all names of one kind. `what`: `key` or `address`, for the messages."""

    def __init__(self, limits: UseLimits, what: str) -> None:
        self._limits = limits
        self._what = what
        self._uses: dict[str, _Use] = {}
        self._day = 0

    def may_begin(self, name: str, session: str, now_s: float, is_new: bool) -> None:
        """Raises LimitReached if there is nothing left for a connection of this session. `is_new`:
        it begins a conversation, which counts, too."""
        use = self._of(name, now_s)
        if session not in use.places:  # a client may be back before the loss of its socket is known
            self._check_connections(use)
        if is_new:
            self._check_sessions(use, now_s)
        self._check_minutes(use, now_s)

    def begin(self, name: str, session: str, now_s: float, is_new: bool) -> None:
        """A connection begins. See `may_begin`."""
        use = self._of(name, now_s)
        if place := use.places.get(session):
            place.connections += 1
        else:
            use.places[session] = _Place(now_s)
            use.live_since_s += now_s
        use.sessions += is_new

    def check(self, name: str, now_s: float) -> None:
        """While it lasts. Raises LimitReached when the minutes of the day are used up."""
        self._check_minutes(self._of(name, now_s), now_s)

    def end(self, name: str, session: str, now_s: float) -> None:
        """A connection that has begun is over. Its place is free if no other one holds it."""
        use = self._of(name, now_s)
        place = use.places[session]
        place.connections -= 1
        if not place.connections:
            del use.places[session]
            use.live_since_s -= place.since_s
            use.ended_s += now_s - place.since_s

    def _of(self, name: str, now_s: float) -> _Use:
        self._turn_the_page(now_s)
        if name not in self._uses and len(self._uses) >= _MOST_NAMES:
            self._forget_the_idle()
        return self._uses.setdefault(name, _Use())

    def _turn_the_page(self, now_s: float) -> None:
        """A new day."""
        day = int(now_s // _DAY_S)
        if day == self._day:
            return
        self._day = day
        live = {name: use for name, use in self._uses.items() if use.places}
        self._uses = {name: use.at_midnight(day * _DAY_S) for name, use in live.items()}

    def _forget_the_idle(self) -> None:
        """So many addresses belong to nobody who could be limited by them: memory comes first."""
        self._uses = {name: use for name, use in self._uses.items() if use.places}

    def _check_connections(self, use: _Use) -> None:
        most = self._limits.connections
        if most and len(use.places) >= most:
            raise LimitReached(f"this {self._what} has {most} connections: end one first")

    def _check_sessions(self, use: _Use, now_s: float) -> None:
        most = self._limits.sessions_a_day
        if most and use.sessions >= most:
            raise LimitReached(self._used_up(f"{most} sessions", now_s))

    def _check_minutes(self, use: _Use, now_s: float) -> None:
        most = self._limits.minutes_a_day
        if most and use.seconds(now_s) >= 60 * most:
            raise LimitReached(self._used_up(f"{most:g} minutes", now_s))

    def _used_up(self, what: str, now_s: float) -> str:
        tomorrow = shown_time((now_s // _DAY_S + 1) * _DAY_S)
        return f"the {what} a day of this {self._what} are used up: there are more at {tomorrow}"
