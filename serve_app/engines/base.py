"""What an LLM and a voice have to offer. Add one by writing a class with this shape."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from serve_app.conversation.history import Message
from serve_app.protocol.formats import AudioFormat


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of the agent's voice."""

    audio: bytes
    """In the engine's `format`; for pcm a whole number of 16-bit samples."""
    text: str
    """What these bytes say. The texts of a reply, joined, are the text that was put in."""


class LlmEngine(Protocol):
    """A chat model that streams."""

    def stream(self, chat: Sequence[Message]) -> AsyncGenerator[str, None]:
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

    def speak(self, clauses: AsyncIterator[str]) -> AsyncGenerator[Speech, None]:
        """One reply: clauses in, audio out, in order, as early as possible.

        Closing the generator stops the synthesis. Raises EngineError (stage `tts`).
        """
        ...

    async def aclose(self) -> None:
        """Give back sockets and threads."""
        ...
