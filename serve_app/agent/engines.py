"""What an LLM and a voice have to offer. Add one by writing a class with this shape."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from serve_app.conversation.history import ChatMessage
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.protocol.formats import AudioFormat


@dataclass(frozen=True, slots=True)
class Speech:
    """What a voice engine made, in its own format."""

    audio: bytes
    """In the engine's `format`. Of pcm a whole number of 16-bit samples."""
    text: str
    """What `audio` says. Joined, the texts of a reply are the text that the engine was given."""
    is_exact: bool = True
    """Whether the audio ends where `text` does, or that is estimated."""
    is_said: bool = True
    """Whether the voice can say `text`. If not, there is no audio, and nobody hears the text."""


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

    def speak(
        self, clauses: AsyncIterator[str], sound: Sound = ANY_SOUND
    ) -> AsyncGenerator[Speech, None]:
        """One reply: clauses in, audio out, in order and as early as possible.

        `sound.voice` is what the client asked for; empty means the configured voice.
        `sound.language` is for voices that have to be told it. The engine has its own `format`.
        Closing the generator stops the synthesis. Raises EngineError (stage `tts`).
        """
        ...

    async def aclose(self) -> None:
        """Release sockets and threads."""
        ...
