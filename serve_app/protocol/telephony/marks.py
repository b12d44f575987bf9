"""What the caller has heard of the agent. A mark follows each piece of audio, and comes back once
that was played, or at once when all that waits is cleared."""

from typing import Final

from serve_app.protocol.messages import ClientMessage, PlaybackState, Played

_MOST: Final = 256
"""Marks under way: more than there is audio that waits. Older ones never come back."""


class Marks:
    """Of one call. They have numbers, so none is ever mistaken for another."""

    def __init__(self) -> None:
        self._count = 0
        self._sent = Played("", 0.0)
        """Of the reply that is being sent."""
        self._under_way: dict[str, Played] = {}

    def follow(self, token: str, duration_ms: float) -> str:
        """The name of the mark behind a piece of this reply."""
        before_ms = self._sent.played_ms if self._sent.token == token else 0.0
        self._sent = Played(token, before_ms + duration_ms)
        self._count += 1
        self._under_way[str(self._count)] = self._sent
        if len(self._under_way) > _MOST:
            del self._under_way[next(iter(self._under_way))]
        return str(self._count)

    def returned(self, name: str) -> list[ClientMessage]:
        """What was played, and whether anything is left. Nothing if it is not known whether the
        audio before the mark was played or cleared."""
        played = self._under_way.get(name)
        if played is None:
            return []
        for earlier in [mark for mark in self._under_way if int(mark) <= int(name)]:
            del self._under_way[earlier]
        return [played] if self._under_way else [played, PlaybackState("waiting")]

    def cleared(self) -> None:
        """Those under way come back now, and say nothing."""
        self._under_way.clear()
