"""What is asked of the pool of transcribers."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum

from serve_app.protocol.messages import Samples
from serve_app.stt.utterance import Utterance


class Urgency(IntEnum):
    """Less is more urgent."""

    FINAL = 0
    """The turn has ended: somebody waits for this text."""
    SPECULATIVE = 1
    """The user fell silent: if that is the end of the turn, this is its text."""
    PARTIAL = 2
    """The user is speaking: the text so far."""


@dataclass(frozen=True, slots=True)
class Request:
    """One segment to transcribe, as it crosses from the ingress to a replica."""

    key: str
    """Names the segment in the whole cluster. Asked again under the same key, a replica that is
    at it already does the work once."""
    samples: Samples
    """Float32 at 16 kHz, shape (n,), at most 30 s."""
    language: str = ""
    """ISO 639-1, such as `en`; empty is the model's own choice."""
    urgency: Urgency = Urgency.FINAL
    due_in_s: float = 0.0
    """When a speculative text will be needed, if the turn does end; it is as good as final then."""
    hint: str = ""
    """What the segment was heard to begin with, earlier on."""


@dataclass(eq=False, slots=True)
class Job:
    """A request in a replica."""

    key: str
    utterance: Utterance
    urgency: Urgency
    due_at_s: float
    """By the replica's clock; within a class, what is due first runs first."""
    asked_at_s: float
    text: Future[str] = field(default_factory=Future)
    waiters: int = 1
    """Callers that want the text; without any the work is dropped."""

    def urgency_at(self, now_s: float) -> Urgency:
        """A guess whose turn must have ended by now, since nobody took it back, is final."""
        if self.urgency is Urgency.SPECULATIVE and now_s >= self.due_at_s:
            return Urgency.FINAL
        return self.urgency

    @property
    def is_wanted(self) -> bool:
        return not self.utterance.abandoned.is_set()
