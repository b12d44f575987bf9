"""A piece of the agent's voice, from the agent to the history."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """What is sent, played and, once it was heard, remembered together."""

    audio: bytes
    """In the client's format; empty where the text has no sound."""
    text: str
    """What it says. The texts of a reply, joined, are all that the voice was given."""
    duration_s: float
    """Its playing time."""
