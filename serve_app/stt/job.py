"""What the ingress asks of the transcribers, and what a replica makes of it."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum

from serve_app.protocol.messages import Samples
from serve_app.stt.utterance import Utterance


class Urgency(IntEnum):
    """How urgent a request is; a smaller number is more urgent."""

    FINAL = 0
    """Somebody waits for the text: the turn has ended, or the agent's output is held."""
    SPECULATIVE = 1
    """The user is silent: if the turn ends here, this is its text."""
    PARTIAL = 2
    """The user is speaking: the text so far."""
    FILE = 3
    """A file that somebody has sent: no conversation waits for it."""

    @property
    def is_of_a_turn(self) -> bool:
        """Whether the end of a turn waits for the text, or may. How long it does is what the pool
        is scaled by, and what sessions are refused for."""
        return self <= Urgency.SPECULATIVE


@dataclass(frozen=True, slots=True)
class Request:
    """One segment to transcribe, as it crosses from the ingress to a replica."""

    key: str
    """Names the segment in the whole cluster. A replica that already works on a key does not begin
    again when it is asked once more."""
    samples: Samples
    """Float32 at 16 kHz, shape (n,), at most 30 s."""
    language: str = ""
    """As the client calls it, such as `en` or `auto`; empty is that of the settings."""
    urgency: Urgency = Urgency.FINAL
    due_in_s: float = 0.0
    """For a speculative request, when its text is needed if the turn does end. From then on it
    counts as final."""
    hint: str = ""
    """The text that the segment's beginning gave earlier."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a replica makes of a request."""

    text: str
    """Empty if nothing was said."""
    language: str = ""
    """The code of the language of the text, told or found out; empty if there is no text."""
    tokens: tuple[int, ...] = ()
    """Those of the model for the text."""
    log_probability: float = 0.0
    """The mean over all tokens that were written."""
    no_speech: float = 0.0
    """How likely the model finds it that nobody spoke."""


@dataclass(eq=False, slots=True)
class Job:
    """A request that waits or runs in a replica."""

    key: str
    utterance: Utterance
    urgency: Urgency
    due_at_s: float
    """By the replica's clock. Among equally urgent jobs, the one that is due first runs first."""
    asked_at_s: float
    heard: Future[Heard] = field(default_factory=Future)
    waiters: int = 1
    """Callers that want the text; when there are none, the work is dropped."""

    def urgency_at(self, now_s: float) -> Urgency:
        """A speculative job that is due counts as final: the turn has ended, or it would have been
        cancelled."""
        if self.urgency is Urgency.SPECULATIVE and now_s >= self.due_at_s:
            return Urgency.FINAL
        return self.urgency

    @property
    def is_wanted(self) -> bool:
        return not self.utterance.abandoned.is_set()
