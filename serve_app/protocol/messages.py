"""The wire contract: every message of the Echo protocol and of its opt-in extensions.

Each message is one MessagePack map in one binary WebSocket frame; its `type` says which. A plain
Echo client sends open, audio, state and close, and receives token, audio and interrupt. Every other
message and field is an extension that no client has to use: the server sends such a message only to
a client that asked for it in `open`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from serve_app.protocol.tools import Tool

Samples = npt.NDArray[np.float32]
"""Mono audio at 16 kHz, shape (n,), nominally from -1 to 1."""

TOKEN_BYTES = 8
"""The token of its reply, in ASCII, is at the start of every audio message."""

SAMPLE_RATES_HZ = (8000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""What a client can ask for in `open.sample_rate_hz`."""

EVENTS = frozenset(
    {"transcript", "partial", "caption", "state", "duck", "metrics", "error", "goaway"}
)
"""The extensions that a client can ask for in `open.events`."""


# --- from the client ---


@dataclass(frozen=True, slots=True)
class Open:
    """Starts the conversation; the agent speaks first. A second `open` is ignored."""

    prompt: str
    """System prompt of the agent."""
    events: frozenset[str] = frozenset()
    """Extension: which of EVENTS to send."""
    greeting: str | None = None
    """Extension: the agent's first words. Empty (`false` on the wire): the user speaks first.
    Absent: the agent finds its own words, as in Echo."""
    language: str = ""
    """Extension: the user's language, such as `en` (ISO 639-1), for a multilingual model."""
    voice: str = ""
    """Extension: the TTS provider's name for a voice; empty is the configured voice."""
    sample_rate_hz: int = 0
    """Extension: the rate of the agent's voice, one of SAMPLE_RATES_HZ, if the client format is
    pcm; 0 is the configured rate."""
    turn: Mapping[str, Any] = field(default_factory=dict)
    """Extension: turn settings for this session; see CLIENT_SETTINGS in conversation.settings."""
    resume: bool = False
    """Extension: the client may want to come back, so it is sent `session`."""
    resume_token: str = field(default="", repr=False)
    """Extension: the client comes back. The other options are those of its first `open`."""
    key: str = field(default="", repr=False)
    """Extension: who the client is, if neither a header nor the subprotocol has said it."""
    played: "Played | None" = None
    """Extension, with `resume_token`: how much of the last reply was played before that."""
    tools: tuple[Tool, ...] = ()
    """Extension: what the agent may ask the client to do."""
    text_only: bool = False
    """Extension: the agent writes and does not speak: there are captions, and no audio."""


@dataclass(frozen=True, slots=True)
class Audio:
    """Microphone audio: little-endian float32 at 16 kHz, any number of samples."""

    samples: Samples
    raw: bytes = field(default=b"", repr=False, compare=False)
    """As they came: not clipped, and perhaps no samples at all."""


@dataclass(frozen=True, slots=True)
class PlaybackState:
    """`waiting`: the client's playback queue has run dry."""

    state: Literal["waiting"]


@dataclass(frozen=True, slots=True)
class Text:
    """Extension: a typed user turn. It interrupts the agent as speech does."""

    text: str
    id: int = 0
    """The client's own number for it, which grows from text to text; 0 is none. A text whose number
    is not above the last one is ignored, so a client may send it again."""


@dataclass(frozen=True, slots=True)
class RequestInterrupt:
    """Extension, `interrupt` on the wire: the agent is to stop, although nobody spoke."""


@dataclass(frozen=True, slots=True)
class Played:
    """Extension: how much of a reply was played. Without it the server goes by its own clock."""

    token: str
    played_ms: float
    """Counted over all audio with this token."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """Extension: what came of a `tool_call`."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class CommitTurn:
    """Extension, `commit` on the wire, with `turn.detects_turns: false`: all audio since the last
    one is a turn."""


@dataclass(frozen=True, slots=True)
class ClearTurn:
    """Extension, `clear` on the wire: that audio is no turn."""


@dataclass(frozen=True, slots=True)
class RequestReply:
    """Extension, `reply` on the wire: the agent is to answer, with `turn.answers_turns: false`; or
    to go on with the results of tools, which on this wire every `tool_result` asks for, too."""


@dataclass(frozen=True, slots=True)
class Close:
    """Ends the conversation."""


ClientMessage = (
    Open
    | Audio
    | PlaybackState
    | Text
    | RequestInterrupt
    | Played
    | ToolResult
    | CommitTurn
    | ClearTurn
    | RequestReply
    | Close
)


# --- from the server ---


@dataclass(frozen=True, slots=True)
class Token:
    """The token that the next reply's audio will carry."""

    token: str


@dataclass(frozen=True, slots=True)
class AgentAudio:
    """A piece of a reply: 8 bytes of token, then an even number of bytes of audio."""

    token: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop playback now; play only audio that carries the new token."""

    token: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """Extension `transcript`: what was said in a turn; for the agent, what was heard."""

    turn: int
    role: Literal["user", "agent"]
    text: str
    language: str = ""
    """The code of the language that the user spoke, told or found out; empty if it was typed, and
    for the agent."""


@dataclass(frozen=True, slots=True)
class Partial:
    """Extension `partial`: what the user has said so far in the open turn. Its words stay, but the
    transcript may write them differently."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Caption:
    """Extension `caption`: what the audio says that follows. Joined, the captions of a reply are
    its text as it was sent; `transcript` says how much of it was heard."""

    turn: int
    text: str
    """Of one `audio` message: it may begin or end within a word."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Extension `state`: closed, waiting, listening, transcribing or replying."""

    state: str


@dataclass(frozen=True, slots=True)
class Duck:
    """Extension `duck`: the user makes a sound while the agent is heard, and it is not clear yet
    whether that is an interruption. An `interrupt` and the end of the socket end it, too."""

    on: bool
    """Whether the agent's voice is to be softer from now on, or as loud as before."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Extension `metrics`: where the time from the end of speech to the first audio went."""

    turn: int
    endpoint_ms: float
    """From the end of the last voiced frame to the decision that the turn is over."""
    stt_ms: float
    """From that decision to the transcript. 0 if the transcript was there before; the next two
    likewise."""
    llm_ms: float
    """From the transcript to the first clause of the reply."""
    tts_ms: float
    """From the first clause to its first audio."""


@dataclass(frozen=True, slots=True)
class ErrorNotice:
    """Extension `error`: a turn could not be finished, or the microphone sends no audio that can be
    understood (stage `audio`, once a socket); the session goes on. Or `open` is refused (stage
    `open`), for a reason that may be too long for the close frame."""

    turn: int
    stage: str
    message: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Extension, for a client that has said in `open` which tools it has: the agent asks for one.
    The result is a `tool_result` with the same id."""

    turn: int
    call_id: str
    """Unique within the session. A client that comes back may be sent the same call again."""
    name: str
    arguments: str
    """JSON as the model has written it, which may be wrong."""


@dataclass(frozen=True, slots=True)
class SessionNotice:
    """Extension, `session` on the wire, for a client that opened with `resume`: how to go on with
    this conversation at another socket."""

    resume_token: str = field(repr=False)
    """For the next `open`. The one before ends with the next message from the client."""
    window_s: float
    """How long the token works, in seconds from when the server notices that the socket is lost."""
    heard_samples: int = 0
    """How many samples of the audio sent to the last socket were understood. Later ones are not in
    the history, and the client may send them again."""
    text_id: int = 0
    """The last number of a typed text that is in the history. Later ones the client sends again."""


@dataclass(frozen=True, slots=True)
class GoAway:
    """Extension `goaway`: the server is about to stop. The socket of a client that may come back is
    closed (1012) at the end of the current turn. Other clients talk on until little time is left,
    and are then sent this again.

    Or the session has nearly had its time. Any client talks on until little time is left, is then
    sent this again, and is closed (4411) at the end of the current turn."""

    time_left_ms: int
    """After this the socket is closed in any case."""
    final: bool = False
    """The session is over then: nobody can come back to it."""


ServerMessage = (
    Token
    | AgentAudio
    | Interrupt
    | Transcript
    | Partial
    | Caption
    | StateChanged
    | Duck
    | Metrics
    | ErrorNotice
    | ToolCall
    | SessionNotice
    | GoAway
)
