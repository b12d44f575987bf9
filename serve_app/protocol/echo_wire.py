"""The Echo protocol: a message is a frame, and only the close frame says how a socket ends."""

from collections.abc import Sequence

from serve_app.protocol import codec
from serve_app.protocol.limits import DEFAULT_FRAMES, FrameLimits
from serve_app.protocol.messages import AgentAudio, RequestReply, ServerMessage, ToolResult
from serve_app.protocol.wire import AudioFrame, Frame, Reading, Writing


class EchoWire:
    """Remembers nothing."""

    def __init__(self, limits: FrameLimits = DEFAULT_FRAMES) -> None:
        self._limits = limits

    def greeting(self) -> Sequence[Frame]:
        return ()

    def read(self, frame: Frame) -> Reading:
        message = codec.decode(frame, self._limits)
        return Reading((message, RequestReply()) if isinstance(message, ToolResult) else (message,))

    def write(self, message: ServerMessage) -> Writing:
        frame = codec.encode(message)
        return (AudioFrame(frame) if isinstance(message, AgentAudio) else frame,)

    def farewell(self, code: int, reason: str) -> Sequence[Frame]:
        return ()
