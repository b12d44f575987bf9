"""What to do about an event: the outputs of the machine, carried out in order."""

from dataclasses import dataclass

from serve_app.conversation.calls import NO_OFFER, Offer
from serve_app.conversation.events import Timer
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.history import Record as Record
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.protocol.messages import Samples, ServerMessage


@dataclass(frozen=True, slots=True)
class Send:
    """Send this to the client."""

    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Detect:
    """Ask the VAD about these frames: a whole number of 512 samples."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Ask for the text of one segment of a turn."""

    generation: int
    segment: int
    samples: Samples
    language: str = ""
    """What the user speaks, such as `en`; empty leaves it to the model."""
    due_ms: int = 0
    """When the text will be needed, if the turn does end; 0 is now."""
    hint: str = ""
    """The partial transcript of the segment: the text probably begins like this."""


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
    """At most the last 8 s, including the silence at the end."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Ask the agent to answer, in text and voice."""

    generation: int
    reply: int
    chat: tuple[ChatMessage, ...]
    sound: Sound = ANY_SOUND
    is_draft: bool = False
    """The turn may not be over: the draft may be declined, and must not have side effects."""
    offer: Offer = NO_OFFER


@dataclass(frozen=True, slots=True)
class Say:
    """Ask the voice to say exactly this."""

    generation: int
    reply: int
    text: str
    sound: Sound = ANY_SOUND


@dataclass(frozen=True, slots=True)
class CancelSegment:
    """Stop the work on a segment that grew. It will be asked for again."""

    generation: int
    segment: int


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Stop the work on a reply that will not be given."""

    generation: int
    reply: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop all work for a generation, wherever it runs. Safe to repeat."""

    generation: int


@dataclass(frozen=True, slots=True)
class Arm:
    """Ask for an Expired event. A timer that is armed already starts again."""

    timer: Timer
    generation: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Disarm:
    """Stop a timer, if it is armed."""

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
