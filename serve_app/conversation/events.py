"""What can happen to a conversation: the inputs of the machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from serve_app.conversation.calls import Step
from serve_app.conversation.history import Record
from serve_app.conversation.piece import Piece
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.conversation.versions import travels
from serve_app.protocol.messages import Samples
from serve_app.protocol.tools import Tool


class Timer(StrEnum):
    """Waits that the machine asks the driver to time."""

    OPEN = "open"
    """The socket is open, but `open` has not come."""
    STALL = "stall"
    """The user is speaking, but the client's audio may have stopped."""
    TRANSCRIPT = "transcript"
    """The turn is over, but its transcript has not come."""
    HOLD = "hold"
    """Output is held, and it is still unclear what the user wants."""
    OUTPUT = "output"
    """The next piece of the reply is due."""
    PLAYBACK = "playback"
    """By now the client has played the reply, whether it says so or not."""
    IDLE_PROMPT = "idle_prompt"
    """Nobody has said anything for a while."""
    IDLE_CLOSE = "idle_close"
    """The user has not said anything for a long while."""
    SESSION = "session"
    """The session has nearly had its time, or has had it. Belongs to no turn."""
    TOOLS = "tools"
    """The client has not sent the results of all tools. Belongs to no turn."""


# --- from the client ---


@travels
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
    """The client wants to be able to come back on another socket."""
    record: Record | None = None
    """The conversation that is resumed; prompt and greeting are in it."""
    played: "Played | None" = None
    """How much of the reply in the record the client has played."""
    tools: tuple[Tool, ...] = ()
    """What the client can do for the agent."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The client is gone and may come back: what the user has just said is still recorded."""


@dataclass(frozen=True, slots=True)
class Draining:
    """The server is about to stop."""

    time_left_s: float
    """Until the socket is closed in any case."""


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """The user's microphone, whatever it hears."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class AudioIsWrong:
    """The microphone's audio has the wrong format or rate. Comes once a socket."""

    advice: str
    """For the client's `error` event."""


@dataclass(frozen=True, slots=True)
class TextReceived:
    """The user typed."""

    text: str
    id: int = 0
    """The client's number for it; 0 is none. One that is not above the last one was taken
    already."""


@dataclass(frozen=True, slots=True)
class InterruptRequested:
    """The user pressed a button."""


@dataclass(frozen=True, slots=True)
class PlaybackWaiting:
    """The client has nothing left to play, at the end of a reply or in the middle of one."""


@dataclass(frozen=True, slots=True)
class Played:
    """How much of the reply with this token the client has played."""

    token: str
    played_ms: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many messages of the reply's audio were sent, and wait to be written to the socket: the
    client reads slowly. Comes when the number changes, and before any other event that would find
    it changed. After a number other than 0, another one is bound to come."""

    messages: int


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """The client has run one of its tools."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class TurnCommitted:
    """Push-to-talk: all audio since the last one is a turn."""


@dataclass(frozen=True, slots=True)
class TurnCleared:
    """Push-to-talk: all audio since the last turn is none."""


@dataclass(frozen=True, slots=True)
class ReplyRequested:
    """The agent is to answer what the user has said, or to go on with the results of the client's
    tools, once none is missing."""


@dataclass(frozen=True, slots=True)
class CloseRequested:
    """The client ends the conversation."""


# --- from the models ---


@dataclass(frozen=True, slots=True)
class VoiceActivity:
    """The VAD's judgement on the next frame of 512 samples, in order."""

    probability: float
    """That the frame is speech (0 to 1)."""


@dataclass(frozen=True, slots=True)
class OfTurn:
    """An event that belongs to one turn. The machine drops it when that turn is not the current
    one."""

    generation: int


@dataclass(frozen=True, slots=True)
class OfReply(OfTurn):
    """An event that belongs to one reply. The machine drops it when that reply is not the live
    one."""

    reply: int


@dataclass(frozen=True, slots=True)
class Transcribed(OfTurn):
    """The text of a segment; empty, or an annotation such as `[BLANK_AUDIO]`, when nothing was
    said."""

    segment: int
    text: str
    language: str = ""
    """The code of the language of the text, as far as it is known."""


@dataclass(frozen=True, slots=True)
class PartTranscribed(OfTurn):
    """The text so far of a segment that may still be spoken; empty when there is none."""

    segment: int
    text: str


@dataclass(frozen=True, slots=True)
class TranscriptionFailed(OfTurn):
    """There is no text for a segment, and there will be none."""

    segment: int
    message: str
    """For the client's `error` event."""


@dataclass(frozen=True, slots=True)
class TurnJudged(OfTurn):
    """The end-of-turn model's answer about a turn up to this segment."""

    segment: int
    complete: float | None
    """Probability that the turn is complete; None when there is no answer."""


@dataclass(frozen=True, slots=True)
class ReplyBegan(OfReply):
    """The first clause is on its way to the voice."""


@dataclass(frozen=True, slots=True)
class ReplyAudio(OfReply):
    """The next piece of the voice."""

    piece: Piece


@dataclass(frozen=True, slots=True)
class ToolsCalled(OfReply):
    """The reply asks for tools of the client's, and ends with that."""

    steps: tuple[Step, ...]
    """All its rounds of calls. The server's own tools have answered already."""


@dataclass(frozen=True, slots=True)
class ReplyEnded(OfReply):
    """Every piece of the reply has been delivered."""


@dataclass(frozen=True, slots=True)
class ReplyFailed(OfReply):
    """No more pieces of the reply will come."""

    stage: str
    """`llm`, `tts`, or `agent` when its replica died."""
    message: str
    """For the client's `error` event."""
    is_refused: bool = False
    """Whether the provider does not want to answer what was said."""


@dataclass(frozen=True, slots=True)
class DraftDeclined(OfReply):
    """The server is too busy for drafts, or the reply needs a tool, and tools are used only once
    the turn is over. Comes after every piece that was made of the draft."""


# --- from the clock ---


@dataclass(frozen=True, slots=True)
class Expired(OfTurn):
    """A timer went off."""

    timer: Timer


Event = (
    Opened
    | AudioReceived
    | AudioIsWrong
    | TextReceived
    | InterruptRequested
    | PlaybackWaiting
    | Played
    | Backlog
    | TurnCommitted
    | TurnCleared
    | ToolAnswered
    | ReplyRequested
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
    | ToolsCalled
    | ReplyEnded
    | ReplyFailed
    | DraftDeclined
    | Expired
)
