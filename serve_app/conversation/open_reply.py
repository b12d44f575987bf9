"""A reply that was being given when its process or its socket was lost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from serve_app.conversation.ledger import HeardLedger
from serve_app.conversation.piece import Piece
from serve_app.conversation.versions import travels


@travels
@dataclass(frozen=True, slots=True)
class OpenReply:
    """What is known of it, so that another process can go on with it."""

    token: str
    pieces: tuple[tuple[str, float], ...]
    """Text and playing time in seconds, in order."""
    is_written: bool
    """Whether these are all its pieces."""
    played_s: float
    """By the server's clock when this was recorded, or as the client reports."""
    call_id: str = ""
    """The first tool of the client's that it has asked for: its text comes before that in the
    history. Empty if it has asked for none."""

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.pieces).strip()

    @property
    def duration_s(self) -> float:
        return sum(duration_s for _, duration_s in self.pieces)

    def split(self) -> tuple[str, str]:
        """The text that was played, in whole words, and the rest."""
        ledger = HeardLedger()
        for text, duration_s in self.pieces:
            ledger.add(Piece(b"", text, duration_s), 0.0)
        ledger.correct(self.played_s, 0.0)
        rest = "".join(piece.text for piece in ledger.unheard(0.0))
        return ledger.heard(0.0), rest.strip()


def joined(replies: Sequence[OpenReply], played_s: float) -> OpenReply:
    """Replies that followed each other, as one of which `played_s` was played."""
    first, *others = replies
    pieces = [*first.pieces]
    for reply in others:
        (text, duration_s), *rest = reply.pieces
        pieces += [(f" {text.lstrip()}", duration_s), *rest]
    whole = replace(first, pieces=tuple(pieces), is_written=replies[-1].is_written)
    return replace(whole, played_s=played_s)
