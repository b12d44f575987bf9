"""What a reply is made of, as the agent streams it to the ingress."""

from dataclasses import dataclass

from serve_app.conversation.piece import Piece


@dataclass(frozen=True, slots=True)
class Clause:
    """Text that was just handed to the voice."""

    text: str


ReplyPart = Clause | Piece
