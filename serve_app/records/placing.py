"""When each sample of a call was to be heard. Pure: numbers in, numbers out, all in samples or
seconds from the start of the call."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

RATE_HZ: Final = 16_000
"""Of the user's samples, and of the recording."""
_BURST_S: Final = 5.0
"""What the network held back comes in a burst: so much later it still counts as said when it was
due."""
_JITTER_S: Final = 0.2
"""A shorter gap between two messages is the network's, not the microphone's."""
_SURE_S: Final = 0.05
"""Less than this is not worth moving sound for."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one side's sound, and when it is heard."""

    first: int
    """The first sample, counted over all of that side."""
    count: int
    at_s: float


def place_user(arrivals: Sequence[tuple[float, int]]) -> list[Span]:
    """When each message of the microphone was said: `arrivals` are the time at which each came,
    and its number of samples. A message was said before it came, and before those after it."""
    spans: list[Span] = []
    first, cursor_s = 0, 0.0
    for (_, count), latest_s in zip(arrivals, _latest_ends(arrivals), strict=True):
        start_s = latest_s - count / RATE_HZ
        at_s = start_s if start_s - cursor_s > _JITTER_S else cursor_s
        spans.append(Span(first, count, at_s))
        first += count
        cursor_s = at_s + count / RATE_HZ
    return spans


def _latest_ends(arrivals: Sequence[tuple[float, int]]) -> list[float]:
    """By when each message must have been said, if those of the next seconds were said after it."""
    ends = [0.0] * len(arrivals)
    later: deque[tuple[float, float]] = deque()  # arrival, and how late it is; the least one last
    said_s = sum(count for _, count in arrivals) / RATE_HZ
    for number in range(len(arrivals) - 1, -1, -1):
        at_s, count = arrivals[number]
        late_s = at_s - said_s
        while later and later[0][1] >= late_s:
            later.popleft()
        later.appendleft((at_s, late_s))
        while later[-1][0] > at_s + _BURST_S:
            later.pop()
        ends[number] = said_s + later[-1][1]
        said_s -= count / RATE_HZ
    return ends


@dataclass(slots=True)
class _Piece:
    token: str
    first: int
    count: int
    sent_s: float
    at_s: float | None
    """None: it waits to be written to the socket."""


class AgentPlacing:
    """Follows the client's playback: a piece is played when it was written, or right after the
    piece before it; an interrupt drops what was not played. What the client says that it has played
    moves it."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._pieces: list[_Piece] = []
        self._settled = 0
        """Pieces before an interrupt: they do not move any more."""
        self._sent = 0
        self._lag_s = 0.0
        """How much later than it was sent the client plays."""
        self._reported = ""

    def take(self, line: dict[str, Any]) -> None:
        """A note; those of other kinds are ignored."""
        at_s = float(line.get("at_s", 0.0))
        match line:
            case {"agent": [str(token), int(size)]}:
                self._send(at_s, token, size // 2)
            case {"interrupt": _} | {"end": _}:
                self._cut(at_s)
            case {"backlog": int(messages)}:
                self._wait(at_s, messages)
            case {"played": [str(token), float() | int() as played_ms]}:
                self._correct(at_s, token, played_ms / 1000)

    def spans(self) -> list[Span]:
        """What was heard, in order."""
        return [
            Span(piece.first, piece.count, piece.at_s)
            for piece in self._pieces
            if piece.at_s is not None and piece.count > 0
        ]

    def _send(self, at_s: float, token: str, count: int) -> None:
        if token != self._reported:
            self._reported = ""
        live = self._pieces[self._settled :]
        waits = bool(live) and live[-1].at_s is None
        due_s = None if waits else max(at_s + self._lag_s, self._end_before(len(self._pieces)))
        self._pieces.append(_Piece(token, self._sent, count, at_s, due_s))
        self._sent += count

    def _seconds(self, piece: _Piece) -> float:
        return piece.count / self._rate_hz

    def _wait(self, at_s: float, messages: int) -> None:
        """This many of the last pieces are not written; those that were not, and now are, are
        played from now on."""
        count = len(self._pieces)
        first_waiting = max(self._settled, count - messages)
        for number in range(self._settled, count):
            piece = self._pieces[number]
            if number >= first_waiting:
                piece.at_s = None
            elif piece.at_s is None:
                piece.at_s = max(at_s + self._lag_s, self._end_before(number))

    def _end_before(self, number: int) -> float:
        if not number:
            return 0.0
        before = self._pieces[number - 1]
        return (before.at_s or 0.0) + self._seconds(before)

    def _cut(self, at_s: float) -> None:
        for piece in self._pieces[self._settled :]:
            if piece.at_s is None or piece.at_s >= at_s:
                piece.count, piece.at_s = 0, None
            else:
                heard = round((at_s - piece.at_s) * self._rate_hz)
                piece.count = min(piece.count, heard)
        self._settled = len(self._pieces)

    def _correct(self, at_s: float, token: str, played_s: float) -> None:
        """The first report about a reply says when all of it began, later ones say how it went
        on."""
        live = [p for p in self._pieces[self._settled :] if p.token == token and p.at_s is not None]
        assumed_s = sum(
            min(self._seconds(p), max(0.0, at_s - p.at_s)) for p in live if p.at_s is not None
        )
        late_s = assumed_s - played_s
        if not live or abs(late_s) < _SURE_S:
            return
        is_first, self._reported = self._reported != token, token
        self._lag_s = max(0.0, self._lag_s + late_s) if is_first else self._lag_s
        self._move(live if is_first else [p for p in live if self._is_unfinished(p, at_s)], late_s)

    def _is_unfinished(self, piece: _Piece, at_s: float) -> bool:
        return piece.at_s is not None and piece.at_s + self._seconds(piece) > at_s

    def _move(self, pieces: list[_Piece], late_s: float) -> None:
        """Never to before it was sent, nor into the piece before it."""
        end_s = 0.0
        for piece in pieces:
            piece.at_s = max(piece.sent_s, (piece.at_s or 0.0) + late_s, end_s)
            end_s = piece.at_s + self._seconds(piece)
