"""The wire contract: every message of the Echo protocol and of its opt-in extensions.

Each message is one MessagePack map in one binary WebSocket frame, told apart by `type`.
A plain Echo client sends open, audio, state and close and receives token, audio and
interrupt. Every other message and field is an extension that nobody has to use; what else the
server can send is sent only to a client that named it in `open.events`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""Mono audio at 16 kHz, shape (n,), nominally within -1 to 1."""

TOKEN_BYTES = 8
"""Every audio message starts with the token of its reply, in ASCII."""

SAMPLE_RATES_HZ = (8000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""What a client can ask for in `open.sample_rate_hz`."""

EVENTS = frozenset({"transcript", "partial", "state", "metrics", "error", "goaway"})
"""The extensions that a client can ask for in `open.events`."""


# --- from the client ---


@dataclass(frozen=True, slots=True)
class Open:
    """Starts the conversation; the agent speaks first. A second one is ignored."""

    prompt: str
    """System prompt of the agent."""
    events: frozenset[str] = frozenset()
    """Extension: which of EVENTS to send."""
    greeting: str | None = None
    """Extension: the agent's first words. Empty (`false` on the wire): the user speaks first;
    absent: the agent finds its own words, as in Echo."""
    language: str = ""
    """Extension: what the user speaks, such as `en` (ISO 639-1), for a multilingual model."""
    voice: str = ""
    """Extension: a voice by the name that the TTS provider knows; empty is the configured one."""
    sample_rate_hz: int = 0
    """Extension: of the agent's voice, one of SAMPLE_RATES_HZ, where it is pcm; 0 is the
    configured one."""
    turn: Mapping[str, Any] = field(default_factory=dict)
    """Extension: turn settings of this session; see CLIENT_SETTINGS in conversation.settings."""
    resume: bool = False
    """Extension: the client wants to be able to come back, and is sent `session`."""
    resume_token: str = field(default="", repr=False)
    """Extension: the client comes back. All other fields are those of its first `open`."""
    played: "Played | None" = None
    """Extension, beside `resume_token`: what was played of the last reply before that."""


@dataclass(frozen=True, slots=True)
class Audio:
    """Microphone audio: float32 little-endian at 16 kHz, any number of samples."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class PlaybackState:
    """`waiting`: the client's playback queue ran dry."""

    state: Literal["waiting"]


@dataclass(frozen=True, slots=True)
class Text:
    """Extension: a typed user turn. It interrupts the agent as speech does."""

    text: str


@dataclass(frozen=True, slots=True)
class RequestInterrupt:
    """Extension, `interrupt` on the wire: the agent is to stop, without anybody speaking."""


@dataclass(frozen=True, slots=True)
class Played:
    """Extension: how much of a reply has been played. Without it the server goes by the clock."""

    token: str
    played_ms: float
    """Of all audio with this token."""


@dataclass(frozen=True, slots=True)
class Close:
    """Ends the conversation."""


ClientMessage = Open | Audio | PlaybackState | Text | RequestInterrupt | Played | Close


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


@dataclass(frozen=True, slots=True)
class Partial:
    """Extension `partial`: what the user has said so far of a turn that goes on. Its words stay;
    the transcript may still write them in another way."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Extension `state`: closed, waiting, listening, transcribing or replying."""

    state: str


@dataclass(frozen=True, slots=True)
class Metrics:
    """Extension `metrics`: where the time from the end of speech to first audio went."""

    turn: int
    endpoint_ms: float
    """End of the last voiced frame to the decision that the utterance is over."""
    stt_ms: float
    """That decision to the transcript; 0 when it was there already, as it is for the next two."""
    llm_ms: float
    """The transcript to the first clause of the reply."""
    tts_ms: float
    """The first clause to its first audio."""


@dataclass(frozen=True, slots=True)
class ErrorNotice:
    """Extension `error`: a turn could not be finished; the session goes on."""

    turn: int
    stage: str
    message: str


@dataclass(frozen=True, slots=True)
class SessionNotice:
    """Extension, for `open.resume`: how to go on with this conversation on another socket."""

    resume_token: str = field(repr=False)
    """For the next `open`; it works once."""
    window_s: float
    """How long after the loss of the socket."""
    heard_samples: int = 0
    """Of the audio that was sent to the last socket. What came after them is not in the history,
    and the client may send it again."""


@dataclass(frozen=True, slots=True)
class GoAway:
    """Extension `goaway`: the server is going to stop. The socket of a client that may come back is
    closed (1012) when the turn that is going on is over; others when little time is left, of which
    they are told again."""

    time_left_ms: int
    """Then it is closed in any case."""


ServerMessage = (
    Token
    | AgentAudio
    | Interrupt
    | Transcript
    | Partial
    | StateChanged
    | Metrics
    | ErrorNotice
    | SessionNotice
    | GoAway
)
