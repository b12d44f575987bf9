"""What an LLM and a voice have to offer. Add one by writing a class with this shape."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from serve_app.conversation.history import ChatMessage
from serve_app.protocol.formats import AudioFormat


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of the agent's voice."""

    audio: bytes
    """In the engine's `format`; for pcm a whole number of 16-bit samples."""
    text: str
    """What these bytes say. The texts of a reply, joined, are the text that was put in."""
    is_exact: bool = True
    """Whether the audio ends where `text` does, or that is estimated."""


class LlmEngine(Protocol):
    """A chat model that streams."""

    def stream(self, chat: Sequence[ChatMessage]) -> AsyncGenerator[str, None]:
        """The reply as it is written, in pieces of any size.

        Closing the generator stops the work and frees the provider's side at once.
        Raises EngineError (stage `llm`).
        """
        ...

    async def aclose(self) -> None:
        """Give back sockets and threads."""
        ...


class TtsEngine(Protocol):
    """A voice that speaks while its text is still being written."""

    format: AudioFormat

    def warm_up(self) -> None:
        """Called once in the event loop, at start: do what the first reply would wait for.

        What a provider makes of it must not matter here: the first reply will say so.
        """
        return None

    def speak(self, clauses: AsyncIterator[str], voice: str) -> AsyncGenerator[Speech, None]:
        """One reply: clauses in, audio out, in order, as early as possible.

        `voice` is what the client asked for; empty is the configured voice.
        Closing the generator stops the synthesis. Raises EngineError (stage `tts`).
        """
        ...

    async def aclose(self) -> None:
        """Give back sockets and threads."""
        ...
