"""Echo's five states, by Echo's names."""

from enum import StrEnum


class State(StrEnum):
    """Who has the floor."""

    CLOSED = "closed"
    """There is no conversation yet, or no more."""
    WAITING = "waiting"
    """Nobody."""
    LISTENING = "listening"
    """The user."""
    TRANSCRIBING = "transcribing"
    """The user's turn has ended, but its text is not there."""
    REPLYING = "replying"
    """The agent."""
