"""What one socket may do, whatever its messages mean."""

from pydantic import Field

from serve_app.settings.base import Seconds, Settings


class SocketLimits(Settings):
    """A socket that is over one of its rates is closed with 4429. Each rate has a number that may
    come at once, as it does after the network has held a client up, and what it goes on with."""

    control_frames: int = Field(20, ge=1)
    """Pings and pongs at once. Browsers send none by themselves, libraries one in 20 s."""
    control_frames_a_second: float = Field(5.0, gt=0)
    frames: int = Field(5000, ge=1)
    """Of messages, at once: 40 s of audio in the smallest pieces that browsers make (8 ms), which
    is the longest time that a client may be held up."""
    frames_a_second: float = Field(250.0, gt=0)
    """Twice that many pieces."""
    bytes: int = Field(4 << 20, ge=1 << 20)
    """At once, as they are after decompression: a minute of audio, which a client may send again
    that comes back at the end of the window."""
    bytes_a_second: float = Field(256 << 10, gt=0)
    """Four times as many as audio has."""
    fragments: int = Field(256, ge=1)
    """Frames of one message; each is kept until the last one is here. The longest message has as
    many parts of 4 KiB."""
    close_s: Seconds = 5.0
    """For a client to take the close frame and what was sent before it. Then it is cut off."""
    waiting: int = Field(500, ge=1)
    """Sockets of a replica that have not sent `open`. They are not sessions. One more, and the
    oldest of them is closed with 1013."""
    waiting_of_address: int = Field(100, ge=1)
    """Those of one address. One more, and the oldest of these is closed with 1013."""
