"""What can happen to a conversation: the inputs of the machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from serve_app.conversation.history import Record
from serve_app.conversation.piece import Piece
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.protocol.messages import Samples


class Timer(StrEnum):
    """Waits that the machine asks the driver to time."""

    OPEN = "open"
    """The socket is there but `open` has not come."""
    STALL = "stall"
    """The user is speaking, but audio may have stopped coming."""
    TRANSCRIPT = "transcript"
    """The turn is over but its transcript has not come."""
    HOLD = "hold"
    """Output is held back, and it is not clear what the user wants."""
    OUTPUT = "output"
    """The next piece of the reply is to be sent."""
    PLAYBACK = "playback"
    """The client should have played the reply by then, whether it says so or not."""
    IDLE_PROMPT = "idle_prompt"
    """Nobody has said anything for a while."""
    IDLE_CLOSE = "idle_close"
    """The user has not said anything for a long while."""


# --- from the client ---


@dataclass(frozen=True, slots=True)
class Opened:
    """See protocol.messages.Open."""

    prompt: str
    events: frozenset[str] = frozenset()
    greeting: str | None = None
    language: str = ""
    sound: Sound = ANY_SOUND
    turn: Mapping[str, Any] = field(default_factory=dict)
    is_resumable: bool = False
    """The client may come back when it is lost."""
    record: Record | None = None
    """Of the conversation that goes on with this; prompt and greeting are in it."""
    played: "Played | None" = None
    """How much of the reply in the record the client has played."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The client is gone and may come back: what is under way is brought to a record."""


@dataclass(frozen=True, slots=True)
class Draining:
    """The server is going to stop."""

    time_left_s: float


@dataclass(frozen=True, slots=True)
class AudioReceived:
    samples: Samples


@dataclass(frozen=True, slots=True)
class TextReceived:
    """The user typed."""

    text: str


@dataclass(frozen=True, slots=True)
class InterruptRequested:
    """The user pressed a button."""


@dataclass(frozen=True, slots=True)
class PlaybackWaiting:
    """The client's playback queue ran dry, at the end of a reply or in the middle of one."""


@dataclass(frozen=True, slots=True)
class Played:
    """How much of the reply with this token the client has played."""

    token: str
    played_ms: float


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


@dataclass(frozen=True, slots=True)
class PartTranscribed:
    """The text so far of a segment that may still be spoken; empty when there is none."""

    generation: int
    segment: int
    text: str


@dataclass(frozen=True, slots=True)
class TranscriptionFailed:
    generation: int
    segment: int
    message: str


@dataclass(frozen=True, slots=True)
class TurnJudged:
    """The end-of-turn model's answer about a turn up to this segment."""

    generation: int
    segment: int
    complete: float | None
    """Probability that the turn is complete; None when there is no answer."""


@dataclass(frozen=True, slots=True)
class ReplyBegan:
    """The first clause is on its way to the voice."""

    generation: int
    reply: int


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """The next piece of the voice."""

    generation: int
    reply: int
    piece: Piece


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    generation: int
    reply: int


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    generation: int
    reply: int
    stage: str
    message: str


@dataclass(frozen=True, slots=True)
class DraftDeclined:
    """The server is too busy to reply on suspicion, or the reply needs a tool, which is used
    for committed turns only. Comes after all that was made of the draft."""

    generation: int
    reply: int


# --- from the clock ---


@dataclass(frozen=True, slots=True)
class Expired:
    timer: Timer
    generation: int


Event = (
    Opened
    | AudioReceived
    | TextReceived
    | InterruptRequested
    | PlaybackWaiting
    | Played
    | CloseRequested
    | Disconnected
    | Draining
    | VoiceActivity
    | Transcribed
    | PartTranscribed
    | TranscriptionFailed
    | TurnJudged
    | ReplyBegan
    | ReplyAudio
    | ReplyEnded
    | ReplyFailed
    | DraftDeclined
    | Expired
)
