"""How the agent is to sound."""

from dataclasses import dataclass

from serve_app.conversation.versions import travels


@travels
@dataclass(frozen=True, slots=True)
class Sound:
    """What a client asked for in `open`, and what its user speaks. Empty values leave it to the
    server."""

    voice: str = ""
    """A name that the TTS provider knows."""
    sample_rate_hz: int = 0
    """Of pcm output."""
    language: str = ""
    """The code of the language that the user speaks; empty while it is not known to be another one
    than English."""
    is_text: bool = False
    """Text alone: nothing is spoken."""


ANY_SOUND = Sound()
"""The server chooses everything."""
