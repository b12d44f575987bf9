"""The user's open turn: one utterance, or several segments of a very long one."""

from dataclasses import dataclass

from serve_app.conversation.partial import PartialText
from serve_app.conversation.piece import Piece
from serve_app.conversation.settings import LONGEST_MESSAGE
from serve_app.conversation.words import words
from serve_app.protocol.messages import Samples


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The turn interrupted a reply."""

    unheard: tuple[Piece, ...]
    """The rest of that reply, which is said after all when the turn turns out to be noise."""
    said: str
    """What the agent had said last."""
    is_all: bool
    """Whether the reply was complete. If not, the agent is asked for what comes after that."""
    call_id: str = ""
    """See OpenReply."""

    def leaves(self, seconds: float) -> bool:
        """Whether more than this is left to say of the reply."""
        return not self.is_all or sum(piece.duration_s for piece in self.unheard) > seconds


@dataclass(frozen=True, slots=True)
class Withdrew:
    """The turn began before the reply to the last one was heard: that reply was withdrawn, and is
    asked for again when the turn turns out to be noise."""


class Turn:
    """Collects the transcripts of a turn's segments, which may arrive in any order."""

    def __init__(self, generation: int, start: int) -> None:
        self.generation = generation
        self.began_at = start
        """First sample of the turn."""
        self.start = start
        """First sample of the segment that is being spoken."""
        self.speech_ms = 0
        """Its longest run of speech so far."""
        self.displaced: Interrupted | Withdrew | None = None
        """What the turn did to the agent's reply, to be undone if nothing was said."""
        self.is_over_agent = False
        """Whether it began while the agent was heard."""
        self.is_soft_ended = False
        """Whether the last segment was sent to be transcribed on the guess that it is over."""
        self.asked_ms = 0
        """The silence after which the end-of-turn model was last asked about the last segment."""
        self.is_judged = False
        """Whether it has answered, or said that it does not."""
        self.complete: float | None = None
        """Its answer, if there is one: the probability that the turn is complete."""
        self.language = ""
        """The code of the language of the last words, as far as it is known."""
        self.drafts = 0
        """Number of replies drafted before the turn was over."""
        self.drafted_segment = 0
        """The segment after which a reply was drafted last, or could have been."""
        self.segment = 0
        """Number of the last segment."""
        self.partial = PartialText(start)
        self._texts: dict[int, str | None] = {}
        self._issued = 0
        self._untranscribed: dict[int, Samples] = {}
        self.has_irreplaceable_text = False
        """Something was typed that the client cannot send again."""

    def add_segment(self, audio: Samples) -> int:
        """Returns the number of a new segment, which waits for its transcript."""
        self._issued += 1
        self._texts[self._issued] = None
        self._untranscribed[self._issued] = audio
        self.segment = self._issued
        return self.segment

    @property
    def next_segment(self) -> int:
        """The number that the segment which is being spoken will have."""
        return self._issued + 1

    @property
    def untranscribed(self) -> dict[int, Samples]:
        """The audio of the segments that wait for their transcripts, by their numbers. There are
        few, because each call for a transcript has a deadline."""
        return dict(self._untranscribed)

    def add_text(self, text: str, is_numbered: bool) -> None:
        """Adds a segment that the user typed."""
        self.has_irreplaceable_text |= not is_numbered
        self._issued += 1
        self._texts[self._issued] = text.strip()
        self._forget_the_oldest()

    def reopen_segment(self) -> int:
        """The last segment goes on after all: its number is dead, and returned."""
        self.is_soft_ended = False
        self.asked_ms = 0
        self.is_judged = False
        self.complete = None
        self._untranscribed.pop(self.segment, None)
        self.partial.heard = self._texts.pop(self.segment) or self.partial.heard
        return self.segment

    def take_partial(self, segment: int, text: str) -> str:
        """Takes the text so far. Returns what the client can be told, if any of it is new."""
        is_live = segment == self.next_segment
        return self.partial.take(text, self.text) if is_live else ""

    def take_transcript(self, segment: int, text: str, language: str = "") -> bool:
        """Takes the text of a segment. Returns False when the segment is dead."""
        if segment not in self._texts:
            return False
        self._untranscribed.pop(segment, None)
        self._texts[segment] = text.strip() if words(text) else ""
        if self._texts[segment] and language:
            self.language = language
        self._forget_the_oldest()
        return True

    def _forget_the_oldest(self) -> None:
        """So that a turn without an end does not grow without one. The last segment that was
        spoken stays, since it may be reopened."""
        while len(self.text) > LONGEST_MESSAGE:
            known = (s for s, text in self._texts.items() if text and s != self.segment)
            if (oldest := next(known, None)) is None:
                return
            del self._texts[oldest]

    def give_up(self) -> None:
        """Segments without a transcript are taken to say nothing."""
        for segment, text in self._texts.items():
            self._texts[segment] = text or ""
        self._untranscribed.clear()

    @property
    def is_transcribed(self) -> bool:
        """Whether no transcript is missing."""
        return None not in self._texts.values()

    @property
    def text(self) -> str:
        """All that is known of what the user says in this turn."""
        return " ".join(text for text in self._texts.values() if text)
