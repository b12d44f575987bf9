"""The parts of a reply, as the agent streams them to the ingress."""

from dataclasses import dataclass

from serve_app.conversation.calls import Step
from serve_app.conversation.piece import Piece


@dataclass(frozen=True, slots=True)
class Began:
    """The voice has its first clause. Comes once, before all pieces, unless there is no text."""


@dataclass(frozen=True, slots=True)
class Called:
    """The reply ends here: it needs tools that the client runs. Comes last."""

    steps: tuple[Step, ...]
    """All rounds of calls in the reply."""


@dataclass(frozen=True, slots=True)
class ToolUsed:
    """The agent has used a tool of the server's. Comes before what is said next, and only to who
    asked for it."""

    name: str
    arguments: str
    """As the LLM wrote them."""
    result: str
    """As the LLM was told."""
    duration_ms: float
    """Of the round: calls of a round are made at the same time."""
    ago_ms: float = 0.0
    """How long before this part the result was there."""


ReplyPart = Began | Piece | Called | ToolUsed
