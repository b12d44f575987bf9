"""The user's open turn: one utterance, or several segments of one that is very long."""

from serve_app.conversation.settings import SAMPLE_RATE_HZ


class Turn:
    """Collects the transcripts of a turn's segments, which may arrive in any order."""

    def __init__(self, start: int) -> None:
        self.start = start
        """First sample of the segment that is being spoken."""
        self.is_soft_ended = False
        """Whether the last segment was asked for on suspicion."""
        self.asked_at = 0
        """Samples received when the last segment was asked for."""
        self.ended_at = 0
        """Samples received at the endpoint."""
        self.endpoint_ms = 0.0
        """End of speech to the endpoint."""
        self.transcription_ms = 0.0
        """What the last segment took."""
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
    def stt_ms(self) -> float:
        """Endpoint to the transcript: what was left of the transcription by then."""
        head_start_ms = (self.ended_at - self.asked_at) / SAMPLE_RATE_HZ * 1000
        return max(0.0, self.transcription_ms - head_start_ms)

    @property
    def is_complete(self) -> bool:
        return None not in self._texts.values()

    @property
    def text(self) -> str:
        return " ".join(text for text in self._texts.values() if text)
