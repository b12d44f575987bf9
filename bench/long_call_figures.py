"""Whether a server holds as much at the end of a long call as in the middle of it."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.long_call_samples import Look

_SHARE = 0.05
"""What is held may be this much more, for what comes and goes while somebody speaks."""
_SLACK = {
    "uss": 4.0,
    "rss": 8.0,
    "descriptors": 4.0,
    "threads": 4.0,
    "tasks": 25.0,
    "python objects": 5000.0,
    "owned": 50.0,
    "references": 50.0,
    "objects": 20.0,
    "bytes": 10.0 * (1 << 20),
    "processes": 1.0,
}
"""On top of that: MiB of memory, and numbers of everything else."""
JUDGED = ("uss", "descriptors", "threads", "tasks", "python objects", "owned", "references")
"""What a process must not hold more and more of. `rss` also counts pages that it shares."""
STORE, ALL = "Ray's object store", "all processes"
_QUARTERS = 4
_PRESENT = 0.9
"""A process that was there in this share of the looks is one of those that live as long as the
server; the others are counted only in the sum."""
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Course:
    """What became of one figure of one process."""

    process: str
    figure: str
    first: float
    """Median of the first quarter of the time: models and buffers warm up."""
    second: float
    last: float
    per_hour: float
    """Slope of a line through all but the first quarter."""

    @property
    def is_flat(self) -> bool:
        """The last quarter holds no more than the second, but for a margin."""
        return self.last <= self.second * (1 + _SHARE) + _SLACK[self.figure]


def courses(looks: Sequence[Look]) -> list[Course]:
    """Of each process that lives as long as the server, of all together, and of the store."""
    return [
        course
        for (process, figure), points in _series(looks).items()
        if (course := _course(process, figure, points, looks)) is not None
    ]


def _series(looks: Sequence[Look]) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Time and value, by process and figure."""
    series: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for look in looks:
        everything: dict[str, float] = defaultdict(float)
        for process, sample in look.processes.items():
            for figure, value in sample.items():
                series[process, figure].append((look.at_s, value))
                everything[figure] += value
        everything["processes"] = len(look.processes)
        for figure, value in everything.items():
            series[ALL, figure].append((look.at_s, value))
        for figure, value in look.store.items():
            series[STORE, figure].append((look.at_s, value))
    return series


def _course(
    process: str, figure: str, points: Sequence[tuple[float, float]], looks: Sequence[Look]
) -> Course | None:
    """None for a process that came or went."""
    if len(points) < _PRESENT * len(looks):
        return None
    quarters: list[list[float]] = [[] for _ in range(_QUARTERS)]
    end_s = looks[-1].at_s
    for at_s, value in points:
        quarters[min(_QUARTERS - 1, int(at_s / end_s * _QUARTERS))].append(value)
    if not all(quarters):
        return None
    first, second, _, last = (statistics.median(quarter) for quarter in quarters)
    later = [(at_s, value) for at_s, value in points if at_s >= end_s / _QUARTERS]
    slope, _ = statistics.linear_regression(*zip(*later, strict=True))
    return Course(process, figure, first, second, last, slope * _HOUR_S)


def grown(found: Sequence[Course]) -> list[Course]:
    """What is not flat, of what should be."""
    return [c for c in found if c.figure in (*JUDGED, "objects", "bytes") and not c.is_flat]


def table(found: Sequence[Course]) -> Iterator[str]:
    """A row for each process, the largest first."""
    yield (
        "| process | memory of its own (USS), MiB | an hour | descriptors | threads"
        " | asyncio tasks | Python objects | Ray objects owned | flat |"
    )
    yield "|---" * 9 + "|"
    by_process: dict[str, dict[str, Course]] = defaultdict(dict)
    for course in found:
        by_process[course.process][course.figure] = course
    processes = {name: of for name, of in by_process.items() if "uss" in of}
    for name in sorted(processes, key=lambda name: -processes[name]["uss"].last):
        yield _row(name, processes[name])


def _row(name: str, of: dict[str, Course]) -> str:
    uss = of["uss"]
    cells = [
        name.rstrip("0123456789 "),
        f"{uss.first:.1f}, {uss.second:.1f}, {uss.last:.1f}",
        f"{uss.per_hour:+.1f}",
        *(
            _cell(of.get(figure))
            for figure in ("descriptors", "threads", "tasks", "python objects", "owned")
        ),
        ", ".join(c.figure for c in grown(list(of.values()))) or "yes",
    ]
    return f"| {' | '.join(cells)} |"


def _cell(course: Course | None) -> str:
    return "" if course is None else f"{course.first:.0f}, {course.second:.0f}, {course.last:.0f}"


def store_line(found: Sequence[Course]) -> str:
    of = {course.figure: course for course in found if course.process == STORE}
    if not of:
        return "Ray's object store: not seen"
    objects, size = of["objects"], of["bytes"]
    return (
        f"{STORE}: {_cell(objects)} objects,"
        f" {size.first / 1e6:.1f}, {size.second / 1e6:.1f}, {size.last / 1e6:.1f} MB."
    )
