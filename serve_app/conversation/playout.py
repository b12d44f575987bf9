"""One reply on its way to the client."""

from collections import deque
from dataclasses import replace

from serve_app.conversation.ledger import HeardLedger
from serve_app.conversation.open_reply import OpenReply
from serve_app.conversation.piece import Piece

_MAX_WAITING_S = 600.0
"""Longer replies are cut, which bounds the memory that a reply can take."""

_SOON_S = 0.001
"""Sooner than this is now, since sums of fractions of a second are not exact."""

_UNSURE_WORDS = 2

_CLINGS = ",.;:!?)…"
"""No space goes before these."""


class Playout:
    """Takes the pieces of a reply as they are made, and gives them out as they are played."""

    def __init__(self, number: int, answers: str = "") -> None:
        self.number = number
        """Tells the replies to one turn apart."""
        self.answers = answers
        """What the user had said when it was asked for."""
        self.is_interruptible = True
        self.is_idle_prompt = False
        """It asks the user whether they are still there."""
        self.is_apology = False
        self.is_scripted = False
        """Its words were not left to the agent: only the voice was asked for."""
        self.is_written = False
        """No more pieces will come."""
        self.text_at_s: float | None = None
        """When the voice got its first clause."""
        self.audio_at_s: float | None = None
        """When the first piece came."""
        self.is_measured = False
        """The client was told how long it had to wait for it."""
        self.is_taken_back = False
        """It has begun, and is to begin or to go on under another token."""
        self.is_stopped_easily = False
        """It was taken back for nothing. What stopped it may be about to do so again: an echo."""
        self.is_withdrawn = False
        """It is to count as never said if the user goes on."""
        self.is_second_try = False
        """Its agent died, and another one writes the rest."""
        self.call_id = ""
        """The first tool of the client's that it has asked for; nothing is missing after that."""
        self._waiting: deque[Piece] = deque()
        self._waiting_s = 0.0
        self._ledger = HeardLedger()
        self._began_at_s = 0.0
        self._heard_before = ""
        self._recorded_s = 0.0
        self._is_recorded_whole = False
        self._is_cut = False
        self._begins_anew = False

    def add(self, piece: Piece, now_s: float) -> None:
        """Takes the next piece. Once one was too much, all that follow are dropped: a reply may
        end early, but has no hole."""
        if self.audio_at_s is None and piece.audio:
            self.audio_at_s = now_s
        self._is_cut = self._is_cut or self._waiting_s >= _MAX_WAITING_S
        if self._is_cut:
            return
        if self._begins_anew and piece.text:
            piece = replace(piece, text=_gap(self._last_text, piece.text) + piece.text)
            self._begins_anew = False
        self._waiting.append(piece)
        self._waiting_s += piece.duration_s

    def begin_text(self) -> None:
        """The next piece begins a text of its own, which what is said so far knows nothing of."""
        self._begins_anew = True

    @property
    def _last_text(self) -> str:
        pieces = (*self._ledger.pieces, *self._waiting)
        return next((piece.text for piece in reversed(pieces) if piece.text), "")

    @property
    def text(self) -> str:
        """What is said in all its pieces, sent or not."""
        waiting = [piece.text for piece in self._waiting if piece.is_said]
        return "".join([self._ledger.text, *waiting]).strip()

    def take(self, now_s: float, lead_s: float) -> list[Piece]:
        """What to send now, so that the output is at most `lead_s` ahead of playback."""
        taken = []
        while (due_s := self.due_in_s(now_s, lead_s)) is not None and due_s < _SOON_S:
            if not self.is_started:
                self._began_at_s = now_s
            piece = self._waiting.popleft()
            self._waiting_s -= piece.duration_s
            if piece.is_said:
                self._ledger.add(piece, now_s)
            taken.append(piece)
        return taken

    def due_in_s(self, now_s: float, lead_s: float) -> float | None:
        """Seconds until the next piece is due; None when there is none."""
        if not self._waiting:
            return None
        remaining_s = self._ledger.remaining_s(now_s)
        early_s = remaining_s + self._waiting[0].duration_s - lead_s
        # A piece longer than the lead is sent when everything before it has been played.
        return max(0.0, min(early_s, remaining_s))

    @property
    def is_started(self) -> bool:
        """Whether the user can have heard anything of it."""
        return self._ledger.sent_s > 0

    @property
    def is_sent(self) -> bool:
        """Whether nothing is left to send."""
        return self.is_written and not self._waiting

    def remaining_s(self, now_s: float) -> float:
        """Playing time of what was sent and is still to be played."""
        return self._ledger.remaining_s(now_s)

    def unplayed_s(self, now_s: float) -> float:
        """Playing time of all that is known of it and is still to be played."""
        return self._waiting_s + self._ledger.remaining_s(now_s)

    def audible_s(self, now_s: float) -> float:
        """Time since the user has heard the first of it, this time."""
        return now_s - self._began_at_s

    def wait_for(self, messages: int, now_s: float) -> None:
        """This many of the last messages with its audio are not written to the socket yet."""
        self._ledger.wait_for(messages, now_s)

    @property
    def is_behind(self) -> bool:
        """Whether the client reads more slowly than it is sent the reply."""
        return self._ledger.is_behind

    def correct(self, played_s: float, now_s: float) -> None:
        """The client has played this much of the reply."""
        self._ledger.correct(played_s, now_s)

    def ran_dry(self, now_s: float) -> None:
        """The client has played all that it got."""
        self._ledger.correct(self._ledger.sent_s, now_s)

    def take_back(self, now_s: float, all_of_it: bool) -> str:
        """What was sent and not played waits again, or all of it. Returns the words that stay
        said."""
        ledger, self._ledger = self._ledger, HeardLedger()
        back = list(ledger.pieces) if all_of_it else ledger.unheard(now_s)
        self._waiting.extendleft(reversed(back))
        self._waiting_s += sum(piece.duration_s for piece in back)
        self._recorded_s, self._is_recorded_whole = 0.0, False
        self._heard_before = ledger.heard(now_s)
        self.is_taken_back, self.is_withdrawn = True, all_of_it
        return "" if all_of_it else self._heard_before

    @property
    def is_recorded(self) -> bool:
        """Whether `record` has returned all that was sent, and the end if that is known."""
        is_known = self._ledger.sent_s < self._recorded_s + _SOON_S
        return is_known and (self._is_recorded_whole or not self.is_written)

    def record(self, token: str, now_s: float) -> OpenReply:
        """All that is known of the reply, sent or not."""
        known = [*self._ledger.pieces, *(piece for piece in self._waiting if piece.is_said)]
        self._recorded_s = self._ledger.sent_s + self._waiting_s
        self._is_recorded_whole = self.is_written
        pieces = tuple((piece.text, piece.duration_s) for piece in known)
        is_written = self.is_written or bool(self.call_id)
        return OpenReply(token, pieces, is_written, self._ledger.played_s(now_s), self.call_id)

    def heard(self, now_s: float) -> str:
        return self._ledger.heard(now_s)

    def heard_by_now(self, now_s: float) -> str:
        """What was heard, also if it is to be said again, and the words that may follow it: where
        the client is by now is not known exactly."""
        heard = self._heard_before if self.is_withdrawn else self.heard(now_s)
        following = self.text[len(heard) :].split()
        return " ".join([heard, *following[:_UNSURE_WORDS]])

    def unheard(self, now_s: float) -> list[Piece]:
        """All that is known of the reply and was not played yet."""
        return [*self._ledger.unheard(now_s), *self._waiting]


def _gap(before: str, after: str) -> str:
    """What goes between two texts."""
    has_gap = not before or before[-1].isspace() or after[0].isspace() or after[0] in _CLINGS
    return "" if has_gap else " "
