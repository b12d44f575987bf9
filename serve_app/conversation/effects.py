"""What to do about an event: the outputs of the machine, to be carried out in order."""

from dataclasses import dataclass

from serve_app.conversation.events import Timer
from serve_app.conversation.history import Message
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


@dataclass(frozen=True, slots=True)
class Reply:
    """Ask the agent to answer, in text and voice."""

    generation: int
    chat: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class CancelSegment:
    """Stop the transcription of a segment that grew: its audio will be asked for again."""

    generation: int
    segment: int


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
class Record:
    """Store what would be needed to go on elsewhere. Issued at each committed turn."""

    history: tuple[Message, ...]
    generation: int
    tokens_issued: int


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Always the last effect of a conversation."""

    code: int
    reason: str


Effect = (
    Send
    | Detect
    | Transcribe
    | Reply
    | CancelSegment
    | Cancel
    | Arm
    | Disarm
    | Record
    | CloseSocket
)
