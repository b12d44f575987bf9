"""The heard ledger: how much of a reply the user has heard, by the playback clock."""

from collections.abc import Sequence
from dataclasses import replace

from serve_app.conversation.piece import Piece

_ROUNDING_S = 0.001
"""Tolerance, since sums of fractions of a second are not exact."""


class HeardLedger:
    """Assumes that the client plays each piece at once, or right after the piece before it, unless
    the client says otherwise. Playback stands still while there is nothing to play."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._sent_s = 0.0
        self._played_s = 0.0
        self._at_s = 0.0

    @property
    def sent_s(self) -> float:
        """Playing time of everything that was sent."""
        return self._sent_s

    @property
    def pieces(self) -> Sequence[Piece]:
        """Everything that was sent, in order."""
        return self._pieces

    @property
    def text(self) -> str:
        """The text of everything that was sent."""
        return "".join(piece.text for piece in self._pieces)

    def add(self, piece: Piece, now_s: float) -> None:
        """`piece` is being sent."""
        self.correct(self.played_s(now_s), now_s)
        self._pieces.append(piece)
        self._sent_s += piece.duration_s

    def correct(self, played_s: float, now_s: float) -> None:
        """By `now_s`, `played_s` of the reply has been played."""
        self._played_s = min(max(played_s, 0.0), self._sent_s)
        self._at_s = now_s

    def played_s(self, now_s: float) -> float:
        return min(self._sent_s, self._played_s + max(0.0, now_s - self._at_s))

    def remaining_s(self, now_s: float) -> float:
        """Playing time of what was sent and is still to be played."""
        return self._sent_s - self.played_s(now_s)

    def heard(self, now_s: float) -> str:
        """The text that was played, in whole words."""
        return self.text[: self._heard_chars(now_s)].strip()

    def unheard(self, now_s: float) -> list[Piece]:
        """The pieces that were sent but not played, from the one that is playing. Their text begins
        with the first word that is not in `heard`."""
        text, start = self.text, self._heard_chars(now_s)
        played_s, end = self.played_s(now_s), 0
        rest = []
        for piece in self._pieces:
            end += len(piece.text)
            if piece.duration_s - _ROUNDING_S > played_s:
                rest.append(replace(piece, text=text[start:end]))
                start = end
            played_s -= piece.duration_s
        return rest

    def _heard_chars(self, now_s: float) -> int:
        """Characters of `text` that were heard. Pieces may be cut within a word, which counts when
        all of it was played."""
        played_s, count = self.played_s(now_s), 0
        for piece in self._pieces:
            count += _spoken(piece, played_s)
            played_s -= piece.duration_s
        text = self.text
        return count if count == len(text) else text.rfind(" ", 0, count + 1) + 1


def _spoken(piece: Piece, played_s: float) -> int:
    """Number of characters of the piece that were said once `played_s` of it was played."""
    if played_s >= piece.duration_s - _ROUNDING_S and played_s >= -_ROUNDING_S:
        return len(piece.text)
    if played_s <= 0:
        return 0
    return int(played_s / piece.duration_s * len(piece.text))
