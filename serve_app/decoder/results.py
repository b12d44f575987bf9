"""What the decoder says to who started it."""

from enum import IntEnum

RATE_HZ = 16_000
"""Of what it writes: signed 16-bit samples, one channel."""


class Result(IntEnum):
    """Its exit status. Any other one: it has crashed, or was stopped."""

    DONE = 0
    UNKNOWN = 3
    """No format that is taken, or broken."""
    UNUSUAL = 4
    """A sample rate or a number of channels that no recording of speech has."""
    TOO_LONG = 5
