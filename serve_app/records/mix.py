"""Makes the recording of a call that is over, and its record: `python -m serve_app.records.mix
FOLDER`.

It is a process of its own, so that no conversation waits for it. Both sides are read bit by bit: a
long call takes no more memory than a short one, but for its notes.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from serve_app.records.journal import lines
from serve_app.records.making import write_record
from serve_app.records.notes import AGENT, RECORDING, USER
from serve_app.records.placing import RATE_HZ, AgentPlacing, Span, place_user
from serve_app.records.schema import Recording

Pcm = npt.NDArray[np.int16]
_BLOCK: Final = RATE_HZ
_NICE: Final = 10


def mix(folder: Path) -> None:
    """Raises OSError, and soundfile.LibsndfileError."""
    rate_hz, length_s, user, agent = _placed(folder)
    # The process of a replica that was killed may still be at it.
    making = folder / f"recording.{os.getpid()}.part"
    with (
        _opened(folder / USER) as left,
        _opened(folder / AGENT) as right,
        soundfile.SoundFile(making, "w", RATE_HZ, 2, "PCM_16", format="FLAC") as out,
    ):
        sides = (
            _filled(_read(left, user)),
            _filled(_resampled(_read(right, agent), agent, rate_hz)),
        )
        silence = np.zeros(_BLOCK, np.int16)
        left_to_write = round(length_s * RATE_HZ)
        for both in zip_longest(*sides, fillvalue=silence):
            block = np.stack(both, axis=1)[:left_to_write]
            out.write(block)
            left_to_write -= len(block)
        while left_to_write > 0:
            block = np.zeros((min(_BLOCK, left_to_write), 2), np.int16)
            out.write(block)
            left_to_write -= len(block)
    making.rename(folder / RECORDING)


def _placed(folder: Path) -> tuple[int, float, list[Span], list[Span]]:
    """The rate of the agent's sound, the length of the recording, and when each side is heard."""
    arrivals, agent = list[tuple[float, int]](), AgentPlacing(RATE_HZ)
    rate_hz, last_s, max_s = RATE_HZ, 0.0, float("inf")
    for line in lines(folder):
        if "call" in line:
            rate_hz, max_s = line["call"]["rate_hz"], line["call"]["max_s"]
            agent = AgentPlacing(rate_hz)
        if "user" in line:
            arrivals.append((line["at_s"], line["user"]))
        agent.take(line)
        last_s = max(last_s, float(line.get("at_s", 0.0)))
    agent.take({"at_s": last_s, "end": None})
    return rate_hz, min(last_s, max_s), place_user(arrivals), agent.spans()


def _opened(path: Path) -> BinaryIO:
    """A side that said nothing has no file."""
    return path.open("rb") if path.exists() else Path(os.devnull).open("rb")


def _read(file: BinaryIO, spans: Sequence[Span]) -> Iterator[tuple[Span, Pcm]]:
    for span in spans:
        file.seek(span.first * 2)
        data = file.read(span.count * 2)
        yield span, np.frombuffer(data[: len(data) // 2 * 2], "<i2")


def _resampled(
    read: Iterator[tuple[Span, Pcm]], spans: Sequence[Span], rate_hz: int
) -> Iterator[tuple[Span, Pcm]]:
    """At the rate of the recording: what is heard without a gap is one stream."""
    stretch = 0
    numbers = []
    for before, span in zip([None, *spans], spans, strict=False):
        is_next = before is not None and abs(_end_s(before, rate_hz) - span.at_s) < 1e-3
        stretch += not is_next
        numbers.append(stretch)
    numbered = zip(numbers, read, strict=True)
    for _, stretch_of in groupby(numbered, key=lambda found: found[0]):
        yield from _stream((part for _, part in stretch_of), rate_hz)


def _end_s(span: Span, rate_hz: int) -> float:
    return span.at_s + span.count / rate_hz


def _stream(parts: Iterator[tuple[Span, Pcm]], rate_hz: int) -> Iterator[tuple[Span, Pcm]]:
    resampler: Any = soxr.ResampleStream(rate_hz, RATE_HZ, 1, dtype="int16")
    at_s: float | None = None
    for span, pcm in parts:
        at_s = span.at_s if at_s is None else at_s
        out = resampler.resample_chunk(pcm)
        yield Span(0, len(out), at_s), out
        at_s += len(out) / RATE_HZ
    out = resampler.resample_chunk(np.empty(0, np.int16), last=True)
    yield Span(0, len(out), at_s or 0.0), out


def _filled(placed: Iterator[tuple[Span, Pcm]]) -> Iterator[Pcm]:
    """Blocks of one size, with silence where nothing is. What would lie in the past is moved."""
    waiting, cursor = np.zeros(0, np.int16), 0
    for span, pcm in placed:
        gap = max(0, round(span.at_s * RATE_HZ) - cursor - len(waiting))
        while gap:
            room = min(gap, _BLOCK)
            waiting, gap = np.concatenate((waiting, np.zeros(room, np.int16))), gap - room
            yield from (blocks := _whole(waiting))
            waiting = waiting[len(blocks) * _BLOCK :]
            cursor += len(blocks) * _BLOCK
        waiting = np.concatenate((waiting, pcm))
        yield from (blocks := _whole(waiting))
        waiting = waiting[len(blocks) * _BLOCK :]
        cursor += len(blocks) * _BLOCK
    if len(waiting):
        yield np.concatenate((waiting, np.zeros(_BLOCK - len(waiting), np.int16)))


def _whole(samples: Pcm) -> list[Pcm]:
    return [
        samples[start : start + _BLOCK] for start in range(0, len(samples) - _BLOCK + 1, _BLOCK)
    ]


def recording_of(folder: Path) -> Recording:
    """The one that was mixed."""
    found = soundfile.info(str(folder / RECORDING))
    head = next(lines(folder))["call"]
    return Recording(
        file=f"{folder.name}.flac",
        rate_hz=found.samplerate,
        duration_s=round(found.duration, 3),
        is_complete=found.duration < head["max_s"],
    )


def main(folder: Path) -> None:
    os.nice(_NICE)
    if not (folder / RECORDING).exists():
        mix(folder)
    write_record(folder, recording_of(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
