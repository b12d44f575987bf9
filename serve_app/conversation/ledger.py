"""The heard ledger: how much of a reply the user has heard, by the playback clock."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from serve_app.conversation.piece import Piece

_ROUNDING_S = 0.001
"""Tolerance, since sums of fractions of a second are not exact."""


class HeardLedger:
    """Assumes that a piece is written to the socket as it is sent, and that the client plays it at
    once, or right after the piece before it, unless it is told otherwise. Playback stands still
    while there is nothing to play."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._sent_s = 0.0
        self._written_s = 0.0
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
        """`piece` is being sent, behind those that wait to be written."""
        is_behind = self.is_behind
        self.correct(self.played_s(now_s), now_s)
        self._pieces.append(piece)
        self._sent_s += piece.duration_s
        if not is_behind:
            self._written_s = self._sent_s

    def wait_for(self, messages: int, now_s: float) -> None:
        """The last so many pieces with audio are not written yet; all others are."""
        played_s = self.played_s(now_s)
        with_audio = (piece for piece in reversed(self._pieces) if piece.audio)
        waiting_s = sum(piece.duration_s for piece in islice(with_audio, messages))
        self._written_s = self._sent_s - waiting_s
        self.correct(played_s, now_s)

    @property
    def is_behind(self) -> bool:
        """Whether something that was sent is not written."""
        return self._written_s < self._sent_s

    def correct(self, played_s: float, now_s: float) -> None:
        """By `now_s`, `played_s` of the reply has been played; never more than was written."""
        self._played_s = min(max(played_s, 0.0), self._written_s)
        self._at_s = now_s

    def played_s(self, now_s: float) -> float:
        return min(self._written_s, self._played_s + max(0.0, now_s - self._at_s))

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
