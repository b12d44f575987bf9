"""The user's open turn: one utterance, or several segments of one that is very long."""

from serve_app.conversation.partial import PartialText
from serve_app.conversation.words import words


class Turn:
    """Collects the transcripts of a turn's segments, which may arrive in any order."""

    def __init__(self, generation: int, start: int) -> None:
        self.generation = generation
        self.start = start
        """First sample of the segment that is being spoken."""
        self.speech_ms = 0
        """Its longest run of speech so far."""
        self.is_soft_ended = False
        """Whether the last segment was asked for on suspicion."""
        self.is_judged = False
        """Whether the end-of-turn model was asked about the last segment."""
        self.complete: float | None = None
        """Its answer, if it came: the probability that the turn is complete."""
        self.drafts = 0
        """Replies begun on suspicion."""
        self.segment = 0
        """Number of the last segment."""
        self.partial = PartialText(start)
        self._texts: dict[int, str | None] = {}
        self._issued = 0

    def add_segment(self) -> int:
        """Number of a segment whose transcript is to come."""
        self._issued += 1
        self._texts[self._issued] = None
        self.segment = self._issued
        return self.segment

    @property
    def next_segment(self) -> int:
        """Number of the segment that is being spoken, once it is over."""
        return self._issued + 1

    def add_text(self, text: str) -> None:
        """A part that needs no transcription: the user typed it."""
        self._issued += 1
        self._texts[self._issued] = text.strip()

    def reopen_segment(self) -> int:
        """The last segment goes on after all: its number is dead, and returned."""
        self.is_soft_ended = self.is_judged = False
        self.complete = None
        self.partial.heard = self._texts.pop(self.segment) or self.partial.heard
        return self.segment

    def settle_part(self, segment: int, text: str) -> str:
        """Takes the text so far. Returns what the client can be told, if it is anything new."""
        is_live = segment == self.next_segment
        return self.partial.settle(text, self.text) if is_live else ""

    def settle(self, segment: int, text: str) -> bool:
        """Takes a transcript; False when the segment is dead."""
        if segment not in self._texts:
            return False
        self._texts[segment] = text.strip() if words(text) else ""
        return True

    def give_up(self) -> None:
        """What has no transcript by now gets none."""
        for segment, text in self._texts.items():
            self._texts[segment] = text or ""

    @property
    def is_complete(self) -> bool:
        """Whether every transcript is there."""
        return None not in self._texts.values()

    @property
    def text(self) -> str:
        return " ".join(text for text in self._texts.values() if text)
