"""Calls of the tools that the client runs, as the agent tells them to the conversation."""

from dataclasses import dataclass
from typing import Final

from serve_app.conversation.versions import travels
from serve_app.protocol.tools import Tool

MOST_ROUNDS: Final = 8
"""Rounds of calls after the user's last turn. Then the agent has to answer with what it has: a
client that always has one more result must not keep it busy."""


@travels
@dataclass(frozen=True, slots=True)
class Call:
    """A request for a tool."""

    id: str
    name: str
    arguments: str
    """JSON, unless the model made a mistake."""
    extra: str = ""
    """JSON that the provider adds, and wants back as it is; empty if there is none."""

    @property
    def size(self) -> int:
        """In characters."""
        return len(self.name) + len(self.arguments) + len(self.extra)


@dataclass(frozen=True, slots=True)
class Step:
    """One round of calls in a reply."""

    calls: tuple[Call, ...]
    results: tuple[str | None, ...]
    """One for each call; None is to come from the client."""


@travels
@dataclass(frozen=True, slots=True)
class Offer:
    """What a reply may ask the client to do."""

    tools: tuple[Tool, ...] = ()
    may_call: bool = True
    """Whether it may still do so. The tools are told to the model even if not, since providers want
    to know those that are in the chat."""


NO_OFFER: Final = Offer()
