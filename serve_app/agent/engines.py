"""What an LLM and a voice have to offer, and what engines take. Add one by writing a class with
this shape."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from serve_app.conversation.history import ChatMessage
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.formats import AudioFormat
from serve_app.protocol.messages import Samples


@dataclass(frozen=True, slots=True)
class Speech:
    """What a voice engine made, in its own format."""

    audio: bytes
    """In the engine's `format`. Of pcm a whole number of 16-bit samples."""
    text: str
    """What `audio` says. Joined, the texts of a reply are the text that the engine was given."""
    is_exact: bool = True
    """Whether the audio ends where `text` does, or that is estimated."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech to transcribe."""

    samples: Samples
    """At 16 kHz, shape (n,), at most 30 s."""
    language: str = "en"
    """One that the model knows (ISO 639-1)."""
    hint: str = ""
    """What it was heard to begin with earlier on: checking that is quicker than writing it."""
    abandoned: Event = field(default_factory=Event)
    """Set when nobody waits for the text any more: the engine may stop at once."""

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


class LlmEngine(Protocol):
    """A chat model that streams."""

    def stream(self, chat: Sequence[ChatMessage]) -> AsyncGenerator[str, None]:
        """The reply as it is written, in pieces of any size.

        Closing the generator stops the work and the provider's request at once.
        Raises EngineError (stage `llm`).
        """
        ...

    async def aclose(self) -> None:
        """Release sockets and threads."""
        ...


class TtsEngine(Protocol):
    """A voice that speaks while its text is still being written."""

    format: AudioFormat

    def warm_up(self) -> None:
        """Do ahead what the first reply would wait for. Called once, at start, in the event loop.

        Must not fail because of the provider: the first reply will report that.
        """
        return None

    def speak(self, clauses: AsyncIterator[str], voice: str) -> AsyncGenerator[Speech, None]:
        """One reply: clauses in, audio out, in order and as early as possible.

        `voice` is what the client asked for; empty means the configured voice.
        Closing the generator stops the synthesis. Raises EngineError (stage `tts`).
        """
        ...

    async def aclose(self) -> None:
        """Release sockets and threads."""
        ...
