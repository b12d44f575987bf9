"""How far an ingress replica is behind, and what it leaves out because of that.

Being slow is no reason to end a call. What is optional goes first, in the order of `Shed`: the
later in it, the more a user notices. The sign is how long frames wait for their voice activity:
every session sends one each 32 ms, and all that is slow (this process, the calls, the VAD, the
machine) delays them.
"""

from enum import IntEnum
from typing import Final


class Shed(IntEnum):
    """What is left out; each level includes those before it."""

    NOTHING = 0
    PARTIALS = 1
    """Text so far: clients are told less, and final texts come a little later."""
    DRAFTS = 2
    """A reply is begun when the turn has ended, not before."""
    JUDGEMENTS = 3
    """The end-of-turn model: the length of the silence alone ends a turn."""
    SMALL_CALLS = 4
    """Calls to the VAD are few and large: what hangs on them comes a tenth of a second later."""


FROM_S: Final = {
    Shed.PARTIALS: 0.25,
    Shed.DRAFTS: 0.5,
    Shed.JUDGEMENTS: 1.0,
    Shed.SMALL_CALLS: 2.0,
}
"""How late frames have to be. At ease they wait for 10 to 60 ms."""
CALM_S: Final = 2.0
"""What was left out last comes back when frames have been less than half as late for this long."""


class LoadWatcher:
    """Is told what happens, for metrics. This one does nothing about it."""

    def level(self, level: Shed) -> None:
        """There is another level."""

    def shed(self, what: Shed) -> None:
        """Something was left out."""


class Load:
    """Rises at once, falls step by step. No clock in here: times are handed in."""

    def __init__(self, watcher: LoadWatcher | None = None) -> None:
        self._watcher = watcher or LoadWatcher()
        self._level = Shed.NOTHING
        self._calm_since_s: float | None = None

    @property
    def level(self) -> Shed:
        """The last thing that is left out."""
        return self._level

    def note(self, late_s: float, now_s: float) -> None:
        """Frames have waited for `late_s`."""
        reached = max((shed for shed, from_s in FROM_S.items() if late_s >= from_s), default=0)
        if reached > self._level:
            self._become(Shed(reached))
        if self._level is Shed.NOTHING or late_s >= FROM_S[self._level] / 2:
            self._calm_since_s = None
        elif self._calm_since_s is None:
            self._calm_since_s = now_s
        elif now_s - self._calm_since_s >= CALM_S:
            self._become(Shed(self._level - 1))
            self._calm_since_s = now_s

    def sheds(self, what: Shed, is_strained: bool = False) -> bool:
        """Whether this is left out now, because of the level or another strain. To be asked once
        for each thing that would be done."""
        if self._level < what and not is_strained:
            return False
        self._watcher.shed(what)
        return True

    def _become(self, level: Shed) -> None:
        self._level = level
        self._watcher.level(level)
