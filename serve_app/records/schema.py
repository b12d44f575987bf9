"""The record of a call, as whoever runs the server gets it: one JSON object. docs/records.md is its
manual."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION: Literal[1] = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Latencies(_Part):
    """Where the time from the end of the user's speech to the first audio of the answer went. What
    was done before the turn had ended counts as 0."""

    endpoint_ms: float
    stt_ms: float
    llm_ms: float
    tts_ms: float


class Turn(_Part):
    """What one side said."""

    role: Literal["user", "agent"]
    text: str
    """Of the agent, what was heard of it."""
    language: str = ""
    """The code of what the user spoke, as far as it is known."""
    at_s: float
    """When it began, in seconds from the start of the call: of the agent, when its first audio was
    sent."""
    interrupted: bool = False
    """The agent was stopped, and did not go on."""
    latencies: Latencies | None = None
    """Of the agent's answer to a turn."""


class ToolCall(_Part):
    """What the agent had done."""

    name: str
    arguments: str
    """As the LLM wrote them: usually JSON."""
    at_s: float
    """When it was made."""
    result: str | None = None
    """As the LLM was told; None if the client has not answered."""
    duration_ms: float | None = None
    """Of a tool of the server's: of all calls that were made at the same time."""


class Failure(_Part):
    """What could not be done; the call went on."""

    stage: str
    message: str
    at_s: float


class Recording(_Part):
    """The sound file beside the record: FLAC, the user left, the agent right as heard."""

    file: str
    rate_hz: int
    duration_s: float
    is_complete: bool
    """Whether it goes on to the end of the call: it stops after `max_minutes`."""


class Close(_Part):
    """How the socket ended."""

    code: int
    reason: str


class CallRecord(_Part):
    """One socket's part of a session: a session that is resumed has a record for each socket."""

    schema_version: Literal[1] = SCHEMA_VERSION
    session: str
    socket: str
    """Equal to `session` at the socket at which it began."""
    protocol: str
    """`echo`, `realtime` or `telephony`."""
    started: str
    """ISO 8601, UTC."""
    ended: str
    duration_s: float
    turns: tuple[Turn, ...]
    tool_calls: tuple[ToolCall, ...]
    errors: tuple[Failure, ...]
    recording: Recording | None
    close: Close
    is_complete: bool
    """Whether everything is in it. Not if the server was killed, or its disk was full."""
