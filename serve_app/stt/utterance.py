"""What a transcriber takes."""

from dataclasses import dataclass, field
from threading import Event

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import Samples


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech to transcribe."""

    samples: Samples
    """At 16 kHz, shape (n,), at most 30 s."""
    language: str = "en"
    """A code that the model knows, or `auto`: then the model finds out."""
    hint: str = ""
    """The text that its beginning gave earlier: to check a text is quicker than to write it."""
    abandoned: Event = field(default_factory=Event)
    """Set when nobody waits for the text any more: the engine may stop at once."""

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ
