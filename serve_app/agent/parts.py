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


ReplyPart = Began | Piece | Called
