"""The states of a conversation. Echo knows five; four of ours are `replying` or `closed` to it."""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Who has the floor, and how far they are."""

    CLOSED = "closed"
    """`open` has not come yet."""
    WAITING = "waiting"
    """Nobody has the floor."""
    LISTENING = "listening"
    """The user has it. A reply may be drafted on the guess that the turn is over."""
    TRANSCRIBING = "transcribing"
    """The user's turn is over, but its text is not here yet."""
    PREPARING = "preparing"
    """The agent has the floor. Nothing of its reply has been sent."""
    SPEAKING = "speaking"
    """The reply is being sent and played."""
    HELD = "held"
    """The user made a sound: the rest of the reply is held back until it is clear why."""
    ENDED = "ended"
    """The socket is closed, or will be: no event is taken any more."""


REPLYING: Final = frozenset({State.PREPARING, State.SPEAKING, State.HELD})
"""The agent has the floor."""

ECHO_NAMES: Final[dict[State, str]] = {
    State.CLOSED: "closed",
    State.WAITING: "waiting",
    State.LISTENING: "listening",
    State.TRANSCRIBING: "transcribing",
    State.PREPARING: "replying",
    State.SPEAKING: "replying",
    State.HELD: "replying",
    State.ENDED: "closed",
}
"""What the client is told: the five states of Echo's protocol."""


class Mode(StrEnum):
    """Whether the session has a client, a server that will go on, and time."""

    ATTACHED = "attached"
    """All three."""
    DRAINING = "draining"
    """The server is about to stop: the session ends here when nobody has the floor."""
    EXPIRING = "expiring"
    """The session has nearly had its time: it ends when nobody has the floor."""
    DETACHED = "detached"
    """The client is gone: the user's last turn is transcribed and recorded, then all ends."""
