"""What `/v1/audio/transcriptions` and `/v1/audio/speech` take. Each ingress replica counts by
itself."""

from pydantic import Field

from serve_app.settings.base import Seconds, Settings


class AudioLimits(Settings):
    """They have to leave conversations alone. More at once is refused with 429."""

    file_bytes: int = Field(25 << 20, ge=1 << 16, le=256 << 20)
    """Of a sound file, with the fields of its form."""
    file_s: float = Field(600.0, gt=0, le=7200)
    """How long a sound file may last."""
    input_chars: int = Field(4096, ge=1, le=16_384)
    """The longest text that is said at once."""
    timeout_s: Seconds = 300.0
    """For the whole answer."""
    transcriptions: int = Field(4, ge=0)
    """At the same time. Of each, one segment at a time is at a transcriber."""
    speeches: int = Field(2, ge=0)
    """At the same time: the voice takes turns with those that conversations wait for, clause by
    clause."""
    of_client: int = Field(2, ge=1)
    """Of each kind, at the same time, of one key, or of one address where nobody has a key."""
