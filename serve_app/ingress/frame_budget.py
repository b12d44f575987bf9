"""How many frames and bytes a client may send. Pure: the time is handed in."""

from serve_app.ingress.bucket import Bucket
from serve_app.protocol.limits import Rate
from serve_app.settings.socket_limits import SocketLimits


class FrameBudget:
    """Of one socket."""

    def __init__(self, limits: SocketLimits) -> None:
        self._limits = limits
        self._control = Bucket(Rate(limits.control_frames_a_second, limits.control_frames))
        self._frames = Bucket(Rate(limits.frames_a_second, limits.frames))
        self._bytes = Bucket(Rate(limits.bytes_a_second, limits.bytes))
        self._fragments = 0
        """Of the message that is not complete."""

    def control_frame(self, now_s: float) -> str:
        """Empty if there may be another one, else what is too much."""
        if self._control.take(1, now_s):
            return ""
        return f"more than {self._limits.control_frames_a_second:g} pings and pongs a second"

    def data_frame(self, size: int, is_last: bool, now_s: float) -> str:
        """The same, for a frame of `size` bytes that a message consists of, or begins or goes on
        with."""
        self._fragments = 0 if is_last else self._fragments + 1
        if self._fragments >= self._limits.fragments:
            return f"a message in more than {self._limits.fragments} frames"
        if not self._frames.take(1, now_s):
            return f"more than {self._limits.frames_a_second:g} frames a second"
        if not self._bytes.take(size, now_s):
            return f"more than {self._limits.bytes_a_second:g} bytes a second"
        return ""
