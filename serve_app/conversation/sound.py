"""How the agent is to sound."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sound:
    """What a client asked for in `open`. Empty values leave it to the server."""

    voice: str = ""
    """A name that the TTS provider knows."""
    sample_rate_hz: int = 0
    """Of pcm output."""


ANY_SOUND = Sound()
"""The server chooses everything."""
