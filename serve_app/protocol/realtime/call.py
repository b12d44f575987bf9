"""What both directions of one socket have to know."""

from dataclasses import dataclass, field

from serve_app.protocol.realtime.options import Options
from serve_app.protocol.resampling import HEARD_HZ


@dataclass(slots=True)
class Call:
    options: Options = field(default_factory=Options)
    has_begun: bool = False
    """Whether `open` was said."""
    received: int = 0
    """Samples of the client's audio, as the conversation hears them."""
    typed: str = ""
    """The text that a response was asked for last, until it is a turn."""
    taken: int = 0
    """Of these samples, so many were committed or cleared, with push-to-talk."""
    is_stopped_by_client: bool = False
    """The next interruption is its doing."""
    is_unanswered: bool = False
    """The user has said something, and no response was asked for."""
    is_requested: bool = False
    """A response was asked for, to a turn of which the words are not known yet."""

    @property
    def heard_ms(self) -> int:
        """How much audio the client has sent."""
        return self.received * 1000 // HEARD_HZ
