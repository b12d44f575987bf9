"""The user's open turn: one utterance, or several segments of one that is very long."""


class Turn:
    """Collects the transcripts of a turn's segments, which may arrive in any order."""

    def __init__(self, start: int) -> None:
        self.start = start
        """First sample of the segment that is being spoken."""
        self.endpoint_ms = 0.0
        self.stt_ms = 0.0
        self._texts: dict[int, str | None] = {}
        self._issued = 0

    def add_segment(self) -> int:
        """Number of a segment whose transcript is to come."""
        self._issued += 1
        self._texts[self._issued] = None
        return self._issued

    def reopen_segment(self) -> int:
        """The last segment goes on after all: its number is dead, and returned."""
        del self._texts[self._issued]
        return self._issued

    def settle(self, segment: int, text: str) -> bool:
        """Takes a transcript; False when the segment is dead."""
        if segment not in self._texts:
            return False
        self._texts[segment] = text.strip()
        return True

    @property
    def is_complete(self) -> bool:
        return None not in self._texts.values()

    @property
    def text(self) -> str:
        return " ".join(text for text in self._texts.values() if text)
