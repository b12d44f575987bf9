"""What a protocol is to the rest of the server: a translation at the edge of the conversation.

    frames of a WebSocket ──read──▶ client's messages ──▶ conversation
                          ◀──write── server's messages ◀──┘

The messages (`serve_app/protocol/messages.py`) are the same for all protocols. To add one, write a
class with the shape of `Wire`, without clock and I/O, and give it a path in
`serve_app/ingress/wires.py`. `serve_app/protocol/echo_wire.py` is the smallest one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from serve_app.protocol.messages import ClientMessage, ServerMessage

Frame = bytes | str
"""Binary or text."""


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """The one with the agent's voice: left out if an `Interrupt` follows before it is written. All
    other frames are always written."""

    frame: Frame


Writing = Sequence[Frame | AudioFrame]
"""What one message to a client comes to, in order."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one frame from a client comes to."""

    messages: Sequence[ClientMessage] = ()
    answers: Sequence[Frame] = ()
    """Sent at once, before all that follows from the messages."""


class Wire(Protocol):
    """Of one socket. It may remember what went over it."""

    def greeting(self) -> Sequence[Frame]:
        """What is sent before anything is read. Who gets it has to be known already: a protocol
        with a greeting has no `open` that could hold a key."""

    def read(self, frame: Frame) -> Reading:
        """Raises ProtocolViolation: the socket is closed then. What the client may go on after is
        answered."""

    def write(self, message: ServerMessage) -> Writing:
        """May be nothing. Of AgentAudio, and of nothing else, one is an AudioFrame."""

    def farewell(self, code: int, reason: str) -> Sequence[Frame]:
        """What is said before a close frame with this code and reason. The reason is not cut."""
