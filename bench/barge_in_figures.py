"""What one call came to, and what many come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench.barge_in_agent import Line
from bench.barge_in_call import Call
from bench.barge_in_loudspeaker import Stretch
from bench.barge_in_sounds import WANTS_FLOOR

_OVER_S = 10.0
"""An agent that has been silent for so long does not talk to itself any more."""
_BREAK_S = 0.005
"""Silence between two messages that is none."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sound did to the agent's story. Times are in ms or s from the sound's first sample."""

    kind: str
    name: str
    is_interrupted: bool
    silent_ms: float | None
    """Until the loudspeaker had nothing of the story left to play, because of an interrupt."""
    held_ms: float | None
    """Until the server held the output, and could have told the client so."""
    goes_on: bool
    """Whether the agent went on with the story, interrupted or not."""
    repeated_s: float
    """Of the story, heard twice."""
    skipped_s: float
    """Of the story, never heard although what follows was."""
    pause_s: float
    """Silence of the loudspeaker between two things that it played."""
    turns: tuple[str, ...]
    """What the agent took for turns of the user."""

    @property
    def is_false_stop(self) -> bool:
        """Interrupted, and not taken up again."""
        return self.is_interrupted and not self.goes_on

    @property
    def is_stutter(self) -> bool:
        """Interrupted, and taken up again."""
        return self.is_interrupted and self.goes_on


def outcome(call: Call, kind: str, name: str, story: Line, onset_s: float) -> Outcome:
    """`onset_s`: of the sound, by the call's clock. The call's first turn is no sound."""
    played = call.loudspeaker.played
    interrupts = [at_s for at_s in call.loudspeaker.interrupts if at_s >= onset_s]
    known = [(stretch, story.position(stretch.audio)) for stretch in played]
    told = [(stretch, at_s) for stretch, at_s in known if at_s is not None]
    heard = [(at_s, at_s + stretch.seconds) for stretch, at_s in told]
    union_s = _union_s(heard)
    furthest_s = max((end_s for _, end_s in heard), default=0.0)
    return Outcome(
        kind,
        name,
        bool(interrupts),
        _silent_ms([stretch for stretch, _ in told], interrupts, onset_s),
        _first_ms(call.holds, onset_s),
        not interrupts or any(stretch.start_s >= interrupts[-1] for stretch, _ in told),
        sum(end_s - start_s for start_s, end_s in heard) - union_s,
        furthest_s - union_s,
        _pause_s(played),
        tuple(said.text for said in call.said if said.role == "user")[1:],
    )


def _silent_ms(
    told: Sequence[Stretch], interrupts: Sequence[float], onset_s: float
) -> float | None:
    if not interrupts:
        return None
    ends_s = [stretch.end_s for stretch in told if stretch.start_s < interrupts[0]]
    return (max(min(max(ends_s), interrupts[0]), onset_s) - onset_s) * 1000


def _first_ms(times_s: Sequence[float], onset_s: float) -> float | None:
    after = [at_s for at_s in times_s if at_s >= onset_s]
    return (after[0] - onset_s) * 1000 if after else None


def _union_s(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds that are in any of the spans."""
    total_s = until_s = 0.0
    for start_s, end_s in sorted(spans):
        total_s += max(0.0, end_s - max(start_s, until_s))
        until_s = max(until_s, end_s)
    return total_s


def _pause_s(played: Sequence[Stretch]) -> float:
    gaps = [later.start_s - earlier.end_s for earlier, later in pairwise(played)]
    return sum(gap_s for gap_s in gaps if gap_s > _BREAK_S)


@dataclass(frozen=True, slots=True)
class Stops:
    """Of sounds that want the floor."""

    kind: str
    cases: int
    missed: int
    """The agent talked on."""
    taken_back: int
    """The agent stopped, and then went on with the story."""
    silent_p50_ms: float
    silent_p95_ms: float
    held_p50_ms: float
    held_p95_ms: float


@dataclass(frozen=True, slots=True)
class Alarms:
    """Of sounds that do not want the floor; counts per 100 of them."""

    kind: str
    cases: int
    false_stops: float
    stutters: float
    repeated_s: float
    """Mean of all cases. So are the next two."""
    skipped_s: float
    pause_s: float


@dataclass(frozen=True, slots=True)
class Loop:
    """What the agent's own voice did to it, while nobody said anything."""

    gain_db: float
    is_noisy: bool
    interrupts: int
    turns: tuple[str, ...]
    """What the agent took for turns of a user: it answered each."""
    ends_s: float
    """When the loudspeaker fell silent, in seconds of the call."""
    is_over: bool
    """Whether it was silent at the end, and had been for a while."""


def loop(call: Call, gain_db: float, is_noisy: bool) -> Loop:
    turns = tuple(said.text for said in call.said if said.role == "user")[1:]
    speaker = call.loudspeaker
    is_over = call.now_s - speaker.ends_at_s > _OVER_S
    return Loop(gain_db, is_noisy, len(speaker.interrupts), turns, speaker.ends_at_s, is_over)


def stops(outcomes: Sequence[Outcome]) -> list[Stops]:
    """One row for each kind that wants the floor, and one for all of them."""
    asked = [o for o in outcomes if o.kind in WANTS_FLOOR]
    rows = [_stops(kind, [o for o in asked if o.kind == kind]) for kind in WANTS_FLOOR]
    return [*rows, _stops("all", asked)]


def _stops(kind: str, asked: Sequence[Outcome]) -> Stops:
    silent = [o.silent_ms for o in asked if o.silent_ms is not None]
    held = [o.held_ms for o in asked if o.held_ms is not None]
    return Stops(
        kind,
        len(asked),
        sum(not o.is_interrupted for o in asked),
        sum(o.is_stutter for o in asked),
        _percentile(silent, 50),
        _percentile(silent, 95),
        _percentile(held, 50),
        _percentile(held, 95),
    )


def alarms(outcomes: Sequence[Outcome]) -> list[Alarms]:
    """One row for each kind, in the order in which they come, and one for all."""
    others = [o for o in outcomes if o.kind not in WANTS_FLOOR]
    kinds = dict.fromkeys(o.kind for o in others)
    rows = [_alarms(kind, [o for o in others if o.kind == kind]) for kind in kinds]
    return [*rows, _alarms("all", others)] if others else []


def _alarms(kind: str, cases: Sequence[Outcome]) -> Alarms:
    return Alarms(
        kind,
        len(cases),
        _per_100([o.is_false_stop for o in cases]),
        _per_100([o.is_stutter for o in cases]),
        _mean([o.repeated_s for o in cases]),
        _mean([o.skipped_s for o in cases]),
        _mean([o.pause_s for o in cases]),
    )


def _per_100(found: Sequence[bool]) -> float:
    return 100 * _mean(found)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _percentile(values: Sequence[float], percentile: int) -> float:
    return float(np.percentile(values, percentile)) if values else 0.0
