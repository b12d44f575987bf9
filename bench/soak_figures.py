"""Whether a server grows while it is used and abused: slopes with their confidence.

A slope is Theil and Sen's: the median of the slopes between all pairs of looks. A few looks at busy
moments do not move it. Its interval is Sen's, at 95 %, from the variance of Kendall's tau. Looks
that follow each other closely resemble each other, so the interval is too narrow if anything: a
bound is broken only by what is surely more than noise of a known size (`ALLOWED`).
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.long_call_samples import Look

WARM_UP, WARM_UP_S = 1 / 3, 60.0
"""The share of the time that does not count, and its shortest: caches, buffers and pools fill."""
_SHARE = 0.03
ALLOWED = {"uss": 6.0, "descriptors": 6.0, "threads": 4.0, "tasks": 20.0}
"""How much a process may grow in the time that counts, on top of 3 % of what it holds: MiB, and
numbers. Each wanders by about half of that, with how many callers there happen to be: one has a
descriptor and up to seven tasks."""
_PROCESSES = 4
"""How many more there may be when everybody has gone: Ray keeps idle workers."""
_Z = 1.96
_HOUR_S = 3600.0
_PRESENT = 0.9


@dataclass(frozen=True, slots=True)
class Slope:
    """Of a line through points, in units a second."""

    middle: float
    low: float
    high: float
    """The ends of the 95 % interval."""


@dataclass(frozen=True, slots=True)
class Trend:
    """What became of one figure of one process, after the warm-up."""

    process: str
    figure: str
    median: float
    slope: Slope
    seconds: float
    """For how long it was looked at."""

    @property
    def allowed(self) -> float:
        return ALLOWED[self.figure] + _SHARE * self.median

    @property
    def surely_grew(self) -> float:
        """By at least so much, in the time that counts."""
        return max(0.0, self.slope.low * self.seconds)

    @property
    def is_flat(self) -> bool:
        return self.surely_grew <= self.allowed


def theil_sen(points: Sequence[tuple[float, float]]) -> Slope:
    """Raises ValueError for fewer than four points."""
    if len(points) < 4:
        raise ValueError("a slope needs four points")
    at, value = np.array(sorted(points)).T
    first, second = np.triu_indices(len(at), 1)
    slopes = np.sort((value[second] - value[first]) / (at[second] - at[first]))
    count, n = len(slopes), len(at)
    half = _Z * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low, high = math.floor((count - half) / 2), math.ceil((count + half) / 2)
    return Slope(
        float(np.median(slopes)), float(slopes[max(0, low)]), float(slopes[min(count - 1, high)])
    )


def counted_from_s(looks: Sequence[Look]) -> float:
    """Where the warm-up ends, on the clock of the looks."""
    begin_s, end_s = looks[0].at_s, looks[-1].at_s
    return begin_s + max(WARM_UP_S, (end_s - begin_s) * WARM_UP)


def trends(looks: Sequence[Look]) -> list[Trend]:
    """Of each process that lives as long as the server."""
    later = [look for look in looks if look.at_s >= counted_from_s(looks)]
    series: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for look in later:
        for process, sample in look.processes.items():
            for figure in ALLOWED.keys() & sample.keys():
                series[process, figure].append((look.at_s, sample[figure]))
    return [
        Trend(process, figure, statistics.median(v for _, v in points), theil_sen(points),
              later[-1].at_s - later[0].at_s)
        for (process, figure), points in sorted(series.items())
        if len(points) >= max(4, _PRESENT * len(later))
    ]  # fmt: skip


def unseen(found: Sequence[Trend], roles: Sequence[str]) -> list[str]:
    """Figures of which no process of a role has a trend: nobody can say that they are flat."""
    seen = {(_role(trend.process), trend.figure) for trend in found}
    return [
        f"{role}: {figure}" for role in roles for figure in ALLOWED if (role, figure) not in seen
    ]


def gone(looks: Sequence[Look], roles: Sequence[str]) -> list[str]:
    """Processes of these roles that were there at first, and not at the end."""

    def of(look: Look) -> set[str]:
        return {name for name in look.processes if _role(name) in roles}

    return sorted(of(looks[0]) - of(looks[-1]))


def left_behind(before: Look, after: Look) -> list[str]:
    """What a process holds when everybody has gone, more than before anybody came, and processes.
    Memory is not judged by it: allocators keep what they had."""
    found = []
    for process in sorted(before.processes.keys() & after.processes.keys()):
        held, holds = before.processes[process], after.processes[process]
        for figure in held.keys() & {"descriptors", "tasks"}:
            if figure not in holds:
                found.append(f"{process}: {figure} {held[figure]:.0f} -> not seen")
            elif holds[figure] > held[figure] + ALLOWED[figure]:
                found.append(f"{process}: {figure} {held[figure]:.0f} -> {holds[figure]:.0f}")
    if len(after.processes) > len(before.processes) + _PROCESSES:
        found.append(f"processes {len(before.processes)} -> {len(after.processes)}")
    return found


def table(found: Sequence[Trend]) -> Iterator[str]:
    """A row for each process, the largest first."""
    heads = ("process", "USS, MiB", "an hour", "descriptors", "an hour", "threads", "tasks")
    yield f"| {' | '.join(heads)} | an hour | flat |"
    yield "|---" * 9 + "|"
    by_process: dict[str, dict[str, Trend]] = defaultdict(dict)
    for trend in found:
        by_process[trend.process][trend.figure] = trend
    for name, of in sorted(by_process.items(), key=lambda item: -_median(item[1], "uss")):
        grown = ", ".join(figure for figure, trend in of.items() if not trend.is_flat)
        cells = [
            _role(name),
            *_cells(of, "uss", 1), *_cells(of, "descriptors"),
            f"{_median(of, 'threads'):.0f}", *_cells(of, "tasks"),
            f"**{grown}**" if grown else "yes",
        ]  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def _role(process: str) -> str:
    """Without its process id."""
    return process.rstrip("0123456789 ")


def _median(of: dict[str, Trend], figure: str) -> float:
    return of[figure].median if figure in of else 0.0


def _cells(of: dict[str, Trend], figure: str, digits: int = 0) -> tuple[str, str]:
    """The median, and the slope an hour with its interval."""
    if figure not in of:
        return "", ""
    trend = of[figure]
    low, middle, high = (each * _HOUR_S for each in (trend.slope.low, trend.slope.middle,
                                                     trend.slope.high))  # fmt: skip
    return f"{trend.median:.{digits}f}", f"{middle:+.0f} [{low:+.0f}, {high:+.0f}]"
