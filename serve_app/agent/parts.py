"""What a reply is made of, as the agent streams it to the ingress."""

from dataclasses import dataclass

from serve_app.conversation.piece import Piece


@dataclass(frozen=True, slots=True)
class Began:
    """The voice has its first clause. Comes once, before all pieces; not if there is no text."""


ReplyPart = Began | Piece
