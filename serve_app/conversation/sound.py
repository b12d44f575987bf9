"""How the agent is to sound."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sound:
    """What a client asked for in `open`; the empty values are the server's choice."""

    voice: str = ""
    """A name that the voice's provider knows."""
    sample_rate_hz: int = 0
    """Of pcm."""


ANY_SOUND = Sound()
"""All of it as the server likes."""
