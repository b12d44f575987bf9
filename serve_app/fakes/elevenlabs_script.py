"""How the stand-in for ElevenLabs answers, and what it was asked."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Script:
    """How connections are answered."""

    status: int = 101
    """Anything else refuses the handshake."""
    location: str = ""
    """Where a refusal with status 3xx points."""
    chunk_bytes: int = 4096
    """Size of a message's audio; may be odd."""
    extra_bytes: int = 0
    """Added to the audio of each clause; an odd number makes its size odd."""
    has_alignment: bool = True
    stall_after: int | None = None
    """After this many clauses their audio and everything else is withheld."""
    cut_after: int | None = None
    """In the middle of this clause's audio the connection is gone, without a closing frame."""
    fail_after: int | None = None
    """After this many clauses `error` and `close_code` are sent in place of audio."""
    error: dict[str, Any] | str = ""
    """Sent as JSON; a string is sent as it is, an empty one not at all."""
    close_code: int = 1008
    close_reason: str = ""
    faulty_connections: int = 1_000_000
    """Only the first so many connections stall, are cut or fail."""
    sends_final: bool = True
    """Whether `isFinal` comes before the connection, or when the context, is closed."""
    chunk_delay_s: float = 0.0
    """Pause before each message with audio."""
    first_audio_delay_s: float = 0.0
    """Pause before the first one of a connection or context, when it is the longer one."""
    max_contexts: int = 5
    """One more context that is not final yet, and the connection is closed with 1008."""
    inactivity_s: float | None = None
    """A connection with contexts is closed after so long without a message; None is what its
    query says."""
    late_audio: bool = False
    """Whether a context that was closed before its end goes on sending, as if it were late."""
    id_key: Literal["contextId", "context_id", ""] = "contextId"
    """How messages name their context; with an empty key they do not."""

    @property
    def has_fault(self) -> bool:
        """Whether some clause is answered with a fault."""
        return (self.stall_after, self.cut_after, self.fail_after) != (None, None, None)


@dataclass(slots=True)
class Context:
    """One of a connection's contexts."""

    texts: list[str] = field(default_factory=list)
    kept_alive: asyncio.Event = field(default_factory=asyncio.Event)
    first_audio_at_s: float = 0.0
    """When its first audio was sent, in the event loop's time."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the client's close_context."""
    closed_at_s: float = 0.0
    """When that came."""
    final: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client was sent isFinal."""


@dataclass(slots=True)
class Connection:
    """What a client sent."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    is_faulty: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)
    contexts: dict[str, Context] = field(default_factory=dict)
    clause_arrived: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def texts(self) -> list[str]:
        """The clauses, without what opens, keeps and closes."""
        return [m["text"] for m in self.messages if m.get("text", "").strip()]

    @property
    def unfinished(self) -> int:
        """Contexts that count against the limit."""
        return sum(not context.final.is_set() for context in self.contexts.values())
