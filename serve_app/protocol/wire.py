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

    def write(self, message: ServerMessage) -> Sequence[Frame]:
        """May be nothing, but for AgentAudio: of that, the last frame has the audio, and is left
        out if it is interrupted before it was written. The others are always written."""

    def farewell(self, code: int, reason: str) -> Sequence[Frame]:
        """What is said before a close frame with this code and reason. The reason is not cut."""
