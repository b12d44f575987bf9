"""What one client may send, as plain numbers. serve_app/settings/limits.py has the settings."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """Of one message."""

    message_bytes: int = 1 << 20
    """16 s of audio; Echo's client sends 8 KiB."""
    text_bytes: int = 32 << 10
    """The longest prompt, greeting or typed text."""


DEFAULT_FRAMES: Final = FrameLimits()
MAX_KEY_BYTES: Final = 8192
"""Of the key in `open`, which may be a JWT."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Of a token bucket."""

    per_s: float
    burst: float
    """What may come at once."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one client."""

    bytes: Rate
    """Of all messages."""
    messages: Rate
    text_bytes: Rate
    """Of typed texts."""
    texts: Rate
    patience_s: float
    """How long a client may go on sending more than that."""
