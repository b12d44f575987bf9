"""What can happen to a conversation: the inputs of the machine."""

from dataclasses import dataclass
from enum import StrEnum

from serve_app.protocol.messages import Samples


class Timer(StrEnum):
    """Waits that the machine asks the driver to time."""

    OPEN = "open"
    """The socket is there but `open` has not come."""
    PLAYBACK = "playback"
    """The client should have played the reply by then, whether it says so or not."""


# --- from the client ---


@dataclass(frozen=True, slots=True)
class Opened:
    prompt: str
    events: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AudioReceived:
    samples: Samples


@dataclass(frozen=True, slots=True)
class PlaybackWaiting:
    """The client's playback queue ran dry, at the end of a reply or in the middle of one."""


@dataclass(frozen=True, slots=True)
class CloseRequested:
    pass


# --- from the models; those of a dead generation are dropped at the door ---


@dataclass(frozen=True, slots=True)
class VoiceActivity:
    """The judgement on the next frame of 512 samples, in order."""

    probability: float


@dataclass(frozen=True, slots=True)
class Transcribed:
    generation: int
    segment: int
    text: str
    elapsed_ms: float
    """Since the effect that asked for it."""


@dataclass(frozen=True, slots=True)
class TranscriptionFailed:
    generation: int
    segment: int
    message: str


@dataclass(frozen=True, slots=True)
class ReplyText:
    """A clause on its way to the voice."""

    generation: int
    text: str
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """A piece of the voice and what it says."""

    generation: int
    audio: bytes
    text: str
    duration_s: float
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    generation: int


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    generation: int
    stage: str
    message: str


# --- from the clock ---


@dataclass(frozen=True, slots=True)
class Expired:
    timer: Timer
    generation: int


Event = (
    Opened
    | AudioReceived
    | PlaybackWaiting
    | CloseRequested
    | VoiceActivity
    | Transcribed
    | TranscriptionFailed
    | ReplyText
    | ReplyAudio
    | ReplyEnded
    | ReplyFailed
    | Expired
)
