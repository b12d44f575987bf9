"""The heard ledger: what of a reply the user has heard, by the playback clock."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    start_s: float
    duration_s: float

    @property
    def end_s(self) -> float:
        return self.start_s + self.duration_s


class HeardLedger:
    """Assumes that the client plays each piece at once, or right after the piece before it.

    Times are seconds of received audio: a client that can interrupt is a client that sends.
    """

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []

    @property
    def started(self) -> bool:
        """Whether any audio of the reply was sent."""
        return any(piece.duration_s for piece in self._pieces)

    def add(self, text: str, duration_s: float, now_s: float) -> None:
        previous_end = self._pieces[-1].end_s if self._pieces else now_s
        self._pieces.append(_Piece(text, max(previous_end, now_s), duration_s))

    def remaining_s(self, now_s: float) -> float:
        """Playing time that is still ahead."""
        return max(0.0, self._pieces[-1].end_s - now_s) if self._pieces else 0.0

    def everything(self) -> str:
        return "".join(piece.text for piece in self._pieces).strip()

    def heard(self, now_s: float) -> str:
        """The text played by now: whole pieces, and the whole words of the current one."""
        return "".join(_spoken(piece, now_s) for piece in self._pieces).strip()


def _spoken(piece: _Piece, now_s: float) -> str:
    if now_s >= piece.end_s:
        return piece.text
    if now_s <= piece.start_s:
        return ""
    share = (now_s - piece.start_s) / piece.duration_s
    cut = int(share * len(piece.text))
    return piece.text[: piece.text.rfind(" ", 0, cut + 1) + 1]
