"""The results of the barge-in benchmark, as text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.barge_in_figures import Alarms, Loop, Outcome, Stops


@dataclass(frozen=True, slots=True)
class Point:
    """All figures with one setting."""

    knob: str
    """Empty for the defaults."""
    value: int
    stops: Stops
    alarms: tuple[Alarms, ...]
    """By kind; the last row is all of them."""

    @property
    def name(self) -> str:
        return f"{self.knob} {self.value}" if self.knob else "the defaults"


def stop_lines(rows: Sequence[Stops]) -> Iterator[str]:
    yield "wants the floor      cases  missed  taken back   onset to silence, ms   to the hold"
    yield "                                                     p50     p95        p50     p95"
    for row in rows:
        yield (
            f"{row.kind:20}{row.cases:6}{row.missed:8}{row.taken_back:12}"
            f"{row.silent_p50_ms:12.0f}{row.silent_p95_ms:8.0f}{row.held_p50_ms:11.0f}{row.held_p95_ms:8.0f}"
        )


def alarm_lines(rows: Sequence[Alarms]) -> Iterator[str]:
    yield "does not want it     cases  false stops  stutters   repeated s  skipped s  silence s"
    yield "                                per 100   per 100          (means of all cases)"
    for row in rows:
        yield (
            f"{row.kind:20}{row.cases:6}{row.false_stops:13.0f}{row.stutters:10.0f}"
            f"{row.repeated_s:13.2f}{row.skipped_s:11.2f}{row.pause_s:11.2f}"
        )


def loop_lines(rows: Sequence[Loop]) -> Iterator[str]:
    yield "own echo, 60 s in which nobody speaks"
    yield "     dB  room    interrupts  answers itself   the loop ends"
    for row in rows:
        room = "noise" if row.is_noisy else "silent"
        end = "never began" if not row.turns else f"at {row.ends_s:.0f} s" if row.is_over else "no"
        yield f"{row.gain_db:7.0f}  {room:7}{row.interrupts:11}{len(row.turns):16}   {end}"


def point_lines(points: Sequence[Point]) -> Iterator[str]:
    kinds = [row.kind for row in points[0].alarms]
    yield "                            silence, ms    missed   false stops (stutters) per 100"
    yield "                            p50     p95         " + "".join(f"{k:>16}" for k in kinds)
    for point in points:
        row = point.stops
        found = "".join(f"{a.false_stops:10.0f} ({a.stutters:3.0f})" for a in point.alarms)
        yield (
            f"{point.name:25}{row.silent_p50_ms:6.0f}{row.silent_p95_ms:8.0f}"
            f"{row.missed:5} of {row.cases:<3}{found}"
        )


def case_line(o: Outcome) -> str:
    silent = "-" if o.silent_ms is None else f"{o.silent_ms:.0f}"
    return (
        f"{o.kind:14} {o.name:32} {'goes on' if o.goes_on else 'stopped'} silent {silent:>5}"
        f" repeated {o.repeated_s:.2f} skipped {o.skipped_s:.2f} pause {o.pause_s:.2f}"
        f" {list(o.turns)}"
    )
