"""A piece of the agent's voice, from the agent to the history."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """What is sent and played as one, and goes into the history once it was heard."""

    audio: bytes
    """In the client's format; empty where the text has no sound."""
    text: str
    """What it says. The texts of a reply, joined, are the text that the voice was given."""
    duration_s: float
    """Its playing time."""
    is_said: bool = True
    """Whether the voice can say `text`. If not, it is shown as a caption, and never heard."""
