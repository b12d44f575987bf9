"""What becomes of a call, by chance: answered, late, or any way in which calls fail."""

import asyncio
from collections.abc import Collection
from enum import StrEnum, auto
from random import Random

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError

from bench.virtual_chance import Trace
from serve_app.errors import EngineError, EngineUnavailable

_FOREVER_S = 1e6


class Fate(StrEnum):
    """What becomes of one call."""

    ANSWERED = auto()
    LATE = auto()
    HANGS = auto()
    """Until the caller gives up."""
    FAILS = auto()
    """For now: another call may succeed."""
    REFUSED = auto()
    """This call would fail again."""
    BREAKS = auto()
    """With an error that nobody knows."""
    DIES = auto()
    """The replica does."""
    BUSY = auto()
    CANCELLED = auto()
    """By Serve itself."""
    DEAF = auto()
    """It answers although it was cancelled."""


_MISHAPS: dict[str, dict[Fate, float]] = {
    "vad": {Fate.LATE: 10, Fate.HANGS: 0.3, Fate.FAILS: 4, Fate.DIES: 4, Fate.BUSY: 2,
            Fate.CANCELLED: 2, Fate.REFUSED: 0.1, Fate.BREAKS: 0.1},
    "judge": dict.fromkeys(Fate, 1.0),
    "stt": dict.fromkeys(Fate, 1.0),
    "agent": dict.fromkeys(Fate, 1.0),
    "sessions": {Fate.LATE: 2, Fate.HANGS: 1, Fate.FAILS: 3},
}  # fmt: skip
"""How likely each mishap is. A VAD that hangs or refuses too often ends a session by design."""
STAGES = tuple(_MISHAPS)
_LATE_S = {"vad": 0.5, "judge": 3.0, "stt": 8.0, "agent": 8.0, "sessions": 3.0}
_SOON_S = {"vad": 0.005, "judge": 0.05, "stt": 0.2, "agent": 0.1, "sessions": 0.002}


class Luck:
    """Decides what becomes of each call."""

    def __init__(self, random: Random, share: float, spared: Collection[str] = ()) -> None:
        """`spared`: stages that meet none."""
        self.share = share
        """Of the calls that meet a mishap; 0 is a calm sea."""
        self._spared = spared
        self.calls = 0
        self.mishaps = 0
        self.trace = Trace()
        self._random = random

    async def befall(self, stage: str, share: float | None = None) -> None:
        """Returns when the call is to be answered. Raises what it ends with."""
        self.calls += 1
        fate = Fate.ANSWERED
        share = 0.0 if stage in self._spared else min(self.share, 1.0 if share is None else share)
        if self._random.random() < share:
            self.mishaps += 1
            mishaps = _MISHAPS[stage]
            (fate,) = self._random.choices(list(mishaps), list(mishaps.values()))
        await self._pass(stage, fate)

    async def _pass(self, stage: str, fate: Fate) -> None:
        soon_s = self._random.uniform(0.2, 2.0) * _SOON_S[stage]
        self.trace.note(asyncio.get_running_loop().time(), (stage, fate.value, soon_s))
        match fate:
            case Fate.LATE:
                await asyncio.sleep(self._random.uniform(soon_s, _LATE_S[stage]))
            case Fate.HANGS:
                await asyncio.sleep(_FOREVER_S)
            case Fate.DEAF:
                try:
                    await asyncio.sleep(_LATE_S[stage])
                except asyncio.CancelledError:
                    return
            case _:
                await asyncio.sleep(soon_s)
        if error := _error(stage, fate):
            raise error


def _error(stage: str, fate: Fate) -> BaseException | None:
    match fate:
        case Fate.FAILS:
            return EngineUnavailable(stage, "away for a moment")
        case Fate.REFUSED:
            return EngineError("llm" if stage == "agent" else stage, "not this")
        case Fate.BREAKS:
            return RuntimeError("Unexpected error")
        case Fate.DIES:
            return RayActorError()
        case Fate.BUSY:
            return BackPressureError(num_queued_requests=1, max_queued_requests=1)
        case Fate.CANCELLED:
            return asyncio.CancelledError()
    return None
