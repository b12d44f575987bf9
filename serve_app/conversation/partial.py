"""The text so far of a segment that is being spoken."""

from serve_app.conversation.words import is_longer, stable_prefix


class PartialText:
    """What the client is told while the user speaks. The transcriber also checks the final text
    against it, which is faster than writing it from nothing."""

    def __init__(self, start: int) -> None:
        self.heard = ""
        """The newest partial transcript of the segment."""
        self._told = ""
        self._asked_until = start
        self._asked_segment = 0

    def is_due(self, segment: int, at: int, interval: int) -> bool:
        """Whether the last partial has come, and `interval` samples were spoken since it was asked
        for."""
        return segment != self._asked_segment and at - self._asked_until >= interval

    def ask(self, segment: int, at: int) -> None:
        """The text up to sample `at` was asked for."""
        self._asked_segment, self._asked_until = segment, at

    def take(self, text: str, before: str) -> str:
        """Takes the text so far. Returns what the client can be told of the turn, whose earlier
        segments say `before`; empty when nothing is new."""
        self._asked_segment = 0
        stable = " ".join(part for part in (before, stable_prefix(self.heard, text)) if part)
        self.heard = text or self.heard
        if not is_longer(stable, self._told):
            return ""
        self._told = stable
        return stable

    def begin(self, at: int) -> None:
        """The next segment begins."""
        self.heard, self._asked_until = "", at
