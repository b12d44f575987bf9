"""How long a turn that ends now would wait for its answer, and what is done about it. No clock in
here: times are handed in.

Two waits are watched: for the final transcript of a turn, and from the end of a turn to the first
audio of its answer. When one is over its budget, work that may be for nothing stops first: text so
far and drafts. When it is over the next, no new session is let in: one that is told to come again
is better off than one that is not answered, and so are all that are here.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum
from statistics import median
from typing import Final

_REMEMBERED_S: Final = 30.0
"""An answer older than this says nothing of the next one."""
_REMEMBERED: Final = 5
_ENOUGH: Final = 3
"""One slow answer may be the answer's fault: a long silence of one provider, one long utterance."""


class Strain(IntEnum):
    """Each level includes those before it."""

    NONE = 0
    NO_SPECULATION = 1
    NO_NEW_SESSIONS = 2


@dataclass(frozen=True, slots=True)
class Budget:
    """Of one wait, in seconds."""

    speculation_s: float
    """With a longer one, nothing is done that may be for nothing."""
    sessions_s: float
    """With a longer one, no session is let in."""

    def strain(self, wait_s: float) -> Strain:
        """What a wait of this length asks for."""
        if wait_s > self.sessions_s:
            return Strain.NO_NEW_SESSIONS
        return Strain.NO_SPECULATION if wait_s > self.speculation_s else Strain.NONE


class Waits:
    """One kind of wait. `now_s` never decreases."""

    def __init__(self) -> None:
        self._began: dict[Hashable, float] = {}
        self._ended: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)

    def begin(self, who: Hashable, from_s: float) -> None:
        """Somebody waits from then on, which may be later."""
        self._began[who] = from_s

    def end(self, who: Hashable, now_s: float) -> None:
        """What they waited for is here. Nothing happens if they did not wait."""
        if (began_s := self._began.pop(who, None)) is not None:
            self._ended.append((now_s, max(0.0, now_s - began_s)))

    def drop(self, who: Hashable) -> None:
        """They do not want it any more."""
        self._began.pop(who, None)

    def predicted_s(self, now_s: float) -> float:
        """The median of the last waits; 0 if there are too few to tell. Those who wait for longer
        than usual already are the last, although it is not over."""
        ended = [wait_s for at_s, wait_s in self._ended if now_s - at_s <= _REMEMBERED_S]
        usual_s = median(ended) if ended else 0.0
        waiting = (now_s - began_s for began_s in self._began.values())
        late = [wait_s for wait_s in waiting if wait_s > usual_s]
        known = sorted(late)[-_REMEMBERED:] + ended[::-1]
        return median(known[:_REMEMBERED]) if len(known) >= _ENOUGH else 0.0


class Delays:
    """Of one ingress replica."""

    def __init__(self, transcripts: Budget, first_audio: Budget) -> None:
        self._transcript_budget, self._audio_budget = transcripts, first_audio
        self.transcripts, self.first_audio = Waits(), Waits()

    def strain(self, now_s: float) -> Strain:
        """The worse of the two."""
        return max(
            self._transcript_budget.strain(self.transcripts.predicted_s(now_s)),
            self._audio_budget.strain(self.first_audio.predicted_s(now_s)),
        )

    def hint(self, now_s: float) -> str:
        """Why no session is let in, and when to come again."""
        wait_s = max(self.transcripts.predicted_s(now_s), self.first_audio.predicted_s(now_s))
        return f"answers take {wait_s:.0f} s now: try again in {_REMEMBERED_S:.0f} s"
