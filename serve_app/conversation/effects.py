"""What to do about an event: the outputs of the machine, to be carried out in order."""

from dataclasses import dataclass

from serve_app.conversation.events import Timer
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.history import Record as Record
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.protocol.messages import Samples, ServerMessage


@dataclass(frozen=True, slots=True)
class Send:
    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Detect:
    """Ask for the voice activity of these frames: a whole number of 512 samples."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Ask for the text of one segment of a turn."""

    generation: int
    segment: int
    samples: Samples
    language: str = ""
    """Of the user, such as `en`; empty is the model's own choice."""
    due_ms: int = 0
    """When the text will be needed, if the turn does end; 0 is at once."""
    hint: str = ""
    """What the segment was heard to begin with while it was spoken."""


@dataclass(frozen=True, slots=True)
class TranscribePart:
    """Ask for the text so far of a segment that is still being spoken."""

    generation: int
    segment: int
    samples: Samples
    language: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class JudgeTurn:
    """Ask the end-of-turn model about the turn that ends with this segment."""

    generation: int
    segment: int
    samples: Samples
    """At most the last 8 s, the silence at the end included."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Ask the agent to answer, in text and voice."""

    generation: int
    reply: int
    chat: tuple[ChatMessage, ...]
    sound: Sound = ANY_SOUND
    is_draft: bool = False
    """The turn may not be over: the answer may be declined, and must not have side effects."""


@dataclass(frozen=True, slots=True)
class Say:
    """Ask the voice to say this, word by word."""

    generation: int
    reply: int
    text: str
    sound: Sound = ANY_SOUND


@dataclass(frozen=True, slots=True)
class CancelSegment:
    """Stop the work on a segment that grew: its audio will be asked for again."""

    generation: int
    segment: int


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Stop the work on a reply that will not be given."""

    generation: int
    reply: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop all work of a generation, wherever it runs. Safe to repeat."""

    generation: int


@dataclass(frozen=True, slots=True)
class Arm:
    """Ask for an Expired event; a timer that is armed already starts anew."""

    timer: Timer
    generation: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Disarm:
    timer: Timer


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Always the last effect of a conversation."""

    code: int
    reason: str


Effect = (
    Send
    | Detect
    | Transcribe
    | TranscribePart
    | JudgeTurn
    | Reply
    | Say
    | CancelSegment
    | CancelReply
    | Cancel
    | Arm
    | Disarm
    | Record
    | CloseSocket
)
