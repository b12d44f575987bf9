"""How the stand-in for ElevenLabs answers, and what it was asked."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Script:
    """How connections are answered."""

    status: int = 101
    """Any other status than 101 refuses the handshake."""
    detail: Mapping[str, str] | str = ""
    """What the body of such a refusal has under `detail`; if empty, none that means something."""
    location: str = ""
    """Where a refusal with status 3xx points to."""
    chunk_bytes: int = 4096
    """Size of a message's audio; may be odd."""
    extra_bytes: int = 0
    """Appended to the audio of each clause; an odd number makes its size odd."""
    has_alignment: bool = True
    stall_after: int | None = None
    """From this clause on nothing more is sent."""
    cut_after: int | None = None
    """In the middle of this clause's audio the connection is lost, without a close frame."""
    fail_after: int | None = None
    """From this clause on `error` and `close_code` are sent in place of audio."""
    error: dict[str, Any] | str = ""
    """Sent as JSON. A string is sent unchanged, an empty one not at all."""
    close_code: int = 1008
    close_reason: str = ""
    faulty_connections: int = 1_000_000
    """How many connections stall, are cut or fail, from the first on."""
    sends_final: bool = True
    """Whether `isFinal` is sent before a connection closes, and when a context is closed."""
    chunk_delay_s: float = 0.0
    """Pause before each message with audio."""
    first_audio_delay_s: float = 0.0
    """Pause before the first one of a connection or context, if it is longer than that."""
    max_contexts: int = 5
    """With one more context that is not final yet, the connection is closed with 1008."""
    inactivity_s: float | None = None
    """A connection with contexts is closed after this long without a message; None means what its
    query says."""
    late_audio: bool = False
    """Whether a context that is closed before its end keeps sending, as if its audio were late."""
    id_key: Literal["contextId", "context_id", ""] = "contextId"
    """The key under which messages name their context; if it is empty they do not."""

    @property
    def has_fault(self) -> bool:
        """Whether any clause is answered with a fault."""
        return (self.stall_after, self.cut_after, self.fail_after) != (None, None, None)


@dataclass(slots=True)
class Context:
    """One of a connection's contexts."""

    texts: list[str] = field(default_factory=list)
    kept_alive: asyncio.Event = field(default_factory=asyncio.Event)
    first_audio_at_s: float = 0.0
    """When its first audio was sent, in the event loop's time."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client sends close_context."""
    closed_at_s: float = 0.0
    """When that arrived, in the event loop's time."""
    final: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when isFinal is sent to the client."""


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
        """The clauses, without the messages that open, keep alive and close."""
        return [m["text"] for m in self.messages if m.get("text", "").strip()]

    @property
    def unfinished(self) -> int:
        """Number of contexts that count against the limit."""
        return sum(not context.final.is_set() for context in self.contexts.values())
