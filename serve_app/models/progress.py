"""How far a download is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

Report = Callable[[str], None]
"""Takes one line of progress."""
Progress = Callable[[str, int, int], None]
"""Takes the name of a model, how many bytes of it are there, and how many it has."""

_BAR_LETTERS = 24
_LINE_EVERY_S = 10.0
_MEGABYTE = 1e6


def shown(report: Report, stream: TextIO = sys.stdout) -> Progress:
    """For people who wait. `report` takes the lines where `stream` is not a terminal."""
    return Bar(stream) if stream.isatty() else Lines(report)


def unseen(name: str, done: int, total: int) -> None:
    """For processes that nobody watches."""


def megabytes(size: int) -> str:
    """`1,060 MB`."""
    return f"{size / _MEGABYTE:,.0f} MB"


class _Rate:
    """What a download has done since it began, to say how long the rest takes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._name = ""
        self._began_s = 0.0
        self._began_at = 0

    def text(self, name: str, done: int, total: int) -> str:
        """`212 of 478 MB, 12 MB/s, 22 s left`. What was there before does not count."""
        if name != self._name:
            self._name, self._began_s, self._began_at = name, self._clock(), done
        size = f"{done / _MEGABYTE:,.0f} of {megabytes(total)}"
        seconds, fetched = self._clock() - self._began_s, done - self._began_at
        if seconds < 1 or fetched <= 0:
            return size
        rate = fetched / seconds
        return f"{size}, {rate / _MEGABYTE:.1f} MB/s, {_time((total - done) / rate)} left"


class Bar:
    """Redraws one line of a terminal, and takes it away at the end."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._rate = _Rate(clock)

    def __call__(self, name: str, done: int, total: int) -> None:
        filled = _BAR_LETTERS * done // max(1, total)
        bar = "#" * filled + "." * (_BAR_LETTERS - filled)
        line = f"{name} [{bar}] {self._rate.text(name, done, total)}" if done < total else ""
        self._stream.write(f"\r\x1b[2K{line}")
        self._stream.flush()


class Lines:
    """Says where the download is, every ten seconds."""

    def __init__(self, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._rate = _Rate(clock)
        self._next_s = clock() + _LINE_EVERY_S

    def __call__(self, name: str, done: int, total: int) -> None:
        text = self._rate.text(name, done, total)
        if done < total and self._clock() >= self._next_s:
            self._next_s = self._clock() + _LINE_EVERY_S
            self._report(f"{name}: {text}")


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
