"""`make bench-stt`: how fast and how accurate the transcriber is, and how its pool does under load.

Latency, accuracy and throughput are measured on engines in this process, with one thread each and
the same weights; the pool runs on a local Ray. Prints tables, and one JSON object as the last line.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from bench.machine import machine
from bench.stt_peers import Transcribe, alone, faster_whisper, ours, stock_pipeline
from bench.stt_pool import ROUNDS, SESSIONS, Death, Waits, pool_of
from serve_app.client.speech import read_wav
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import Samples
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.transcriber import WhisperEngine
from tests.speech import TRANSCRIPTS, clip, word_errors, words

SECONDS = (1, 2, 3, 5, 10, 20)
BATCHES = (1, 2, 4, 8, 16)
REPEATS = 7
READING = ("librivox_0870", "librivox_0880", "librivox_0890", "librivox_0920")
"""21 s by one reader."""
SHIFTS_MS = (0, 40, 90, 140)
"""Silence put before each recording when words are counted: one word more or less is luck."""
JFK = (
    "and so my fellow americans ask not what your country can do for you"
    " ask what you can do for your country"
)
GOAL_RATIO = 0.25
GOAL_SECONDS = 5
GOAL_ERRORS = 0.01
GOAL_P99 = 1.10
_DEATH_TEXTS = 12
_TURNS = Path(__file__).parents[1] / "tests" / "data" / "turns"


@dataclass(frozen=True, slots=True)
class Latency:
    """Medians for one utterance at a time."""

    seconds: int
    ours_ms: float
    faster_whisper_ms: float
    pipeline_ms: float

    @property
    def ratio(self) -> float:
        return self.ours_ms / self.faster_whisper_ms


@dataclass(frozen=True, slots=True)
class Accuracy:
    words: int
    errors: Mapping[str, int]

    def rate(self, engine: str) -> float:
        return self.errors[engine] / self.words


def main() -> int:
    arguments = _parser().parse_args()
    busy = psutil.cpu_percent(interval=1.0)
    print(f"machine   {machine()}, {busy:.0f} % busy with other work")
    print(f"command   python -m bench.stt, {arguments.threads} thread(s) an engine\n", flush=True)
    engine = ours(arguments.threads)
    peers = {
        "ours": alone(engine),
        "faster-whisper": faster_whisper(arguments.threads),
        "pipeline": stock_pipeline(arguments.threads),
    }
    latencies = [_latency(seconds, peers) for seconds in SECONDS]
    print(*_latency_table(latencies), sep="\n", flush=True)
    accuracy = _accuracy(peers)
    print(*_accuracy_table(accuracy), sep="\n", flush=True)
    rates = {size: _throughput(engine, size) for size in BATCHES}
    print(*_throughput_table(rates), sep="\n", flush=True)
    expected = [peers["ours"](samples) for samples in _long_speech()]
    del engine, peers
    without, guessing = _worst_case(arguments.threads)
    print(*_waits_table(without, guessing), sep="\n", flush=True)
    death = _death(arguments.threads, expected)
    print(*_death_table(death), sep="\n", flush=True)
    goals = _goals(latencies, accuracy, without, guessing, death)
    print("goals", *(f"  {'met   ' if met else 'MISSED'}  {name}" for name, met in goals.items()),
          sep="\n")  # fmt: skip
    figures = {
        "machine": machine(),
        "latency": [asdict(row) | {"ratio": row.ratio} for row in latencies],
        "word_error_rate": {name: accuracy.rate(name) for name in accuracy.errors},
        "audio_seconds_a_second": rates,
        "waits": {"alone": asdict(without), "with_guesses": asdict(guessing)},
        "death": asdict(death),
        "goals": goals,
    }
    print(json.dumps(figures))
    return int(not all(goals.values()))


# --- latency ---


def _latency(seconds: int, peers: Mapping[str, Transcribe]) -> Latency:
    """The engines take turns, so that all see the machine in the same state."""
    speech = _reading()[: seconds * SAMPLE_RATE_HZ]
    times_ms: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(REPEATS):
        for name, transcribe in peers.items():
            times_ms[name].append(_time_ms(lambda go=transcribe: go(speech)))  # type: ignore[misc]
    return Latency(seconds, *(statistics.median(times) for times in times_ms.values()))


def _time_ms(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return (time.perf_counter() - started_s) * 1000


def _reading() -> Samples:
    return np.concatenate([clip(name) for name in READING])


def _latency_table(rows: Sequence[Latency]) -> Iterator[str]:
    yield "one utterance, ms (medians of runs in turns)"
    yield "speech    ours   faster-whisper int8   transformers pipeline   ours / faster-whisper"
    for row in rows:
        yield (
            f"{row.seconds:4d} s  {row.ours_ms:6.0f}   {row.faster_whisper_ms:19.0f}"
            f"   {row.pipeline_ms:21.0f}   {row.ratio:21.2f}"
        )
    yield ""


# --- accuracy ---


def _accuracy(peers: Mapping[str, Transcribe]) -> Accuracy:
    spoken = {name: (clip(name), text) for name, text in TRANSCRIPTS.items()}
    spoken["jfk"] = (read_wav(_TURNS / "jfk.wav"), JFK)
    errors = dict.fromkeys(peers, 0)
    for samples, text in spoken.values():
        for shift_ms in SHIFTS_MS:
            silence = np.zeros(shift_ms * SAMPLE_RATE_HZ // 1000, dtype=np.float32)
            shifted = np.concatenate((silence, samples))
            for name, transcribe in peers.items():
                errors[name] += word_errors(text, transcribe(shifted))
    total = len(SHIFTS_MS) * sum(len(words(text)) for _, text in spoken.values())
    return Accuracy(total, errors)


def _accuracy_table(accuracy: Accuracy) -> Iterator[str]:
    yield f"word errors, {accuracy.words} words"
    for name, errors in accuracy.errors.items():
        yield f"{name:16s} {errors:4d}   {accuracy.rate(name):6.2%}"
    yield ""


# --- throughput ---


def _throughput(engine: WhisperEngine, size: int) -> float:
    """Seconds of audio that are transcribed in a second, with utterances of 3 s."""
    speech = _reading()
    starts = [i * SAMPLE_RATE_HZ for i in range(size)]
    batch = [Utterance(speech[start : start + 3 * SAMPLE_RATE_HZ]) for start in starts]
    took_ms = [_time_ms(lambda: engine.transcribe_now(batch)) for _ in range(REPEATS)]
    return sum(u.duration_s for u in batch) / (statistics.median(took_ms) / 1000)


def _throughput_table(rates: Mapping[int, float]) -> Iterator[str]:
    yield "throughput, seconds of audio a second (3 s utterances)"
    yield "batch  " + "  ".join(f"{size:5d}" for size in rates)
    yield "       " + "  ".join(f"{rate:5.0f}" for rate in rates.values())
    yield ""


# --- the pool ---


def _worst_case(threads: int) -> tuple[Waits, Waits]:
    with pool_of(1, threads) as pool:
        return asyncio.run(pool.everybody_at_once([clip(name) for name in TRANSCRIPTS]))


def _waits_table(without: Waits, guessing: Waits) -> Iterator[str]:
    yield (
        f"{SESSIONS} turns that end within 50 ms, one replica: request of the final text to the"
        f" text, ms ({ROUNDS // 2} rounds each, in turns)"
    )
    yield "                     finals     p50     p99   guesses and partials meanwhile"
    for name, waits in (("alone", without), ("with guesses", guessing)):
        yield (
            f"{name:20s} {waits.finals:6d}  {waits.p50_ms:6.0f}  {waits.p99_ms:6.0f}"
            f"   {waits.other_texts:6d}"
        )
    yield f"p99 with guesses / alone: {guessing.p99_ms / without.p99_ms:.2f}"
    yield ""


def _death(threads: int, expected: Sequence[str]) -> Death:
    with pool_of(2, threads) as pool:
        return asyncio.run(pool.death(_long_speech(), expected))


def _long_speech() -> list[Samples]:
    """Utterances of 20 s each, all different."""
    whole = np.concatenate([clip(name) for name in TRANSCRIPTS])
    starts = [i * SAMPLE_RATE_HZ for i in range(_DEATH_TEXTS)]
    return [whole[start : start + 20 * SAMPLE_RATE_HZ] for start in starts]


def _death_table(death: Death) -> Iterator[str]:
    yield "kill -9 of one of two replicas while both transcribe 20 s utterances"
    yield (
        f"asked {death.asked}, arrived {death.arrived}, as without it {death.right},"
        f" asked again {death.again}, slowest {death.slowest_ms:.0f} ms"
    )
    yield ""


def _goals(
    latencies: Sequence[Latency],
    accuracy: Accuracy,
    without: Waits,
    guessing: Waits,
    death: Death,
) -> dict[str, bool]:
    more_errors = accuracy.rate("ours") - accuracy.rate("faster-whisper")
    short = [row.ratio for row in latencies if row.seconds <= GOAL_SECONDS]
    return {
        f"up to {GOAL_SECONDS} s, at most {GOAL_RATIO} of faster-whisper": max(short) <= GOAL_RATIO,
        f"at most {GOAL_ERRORS} more word errors than faster-whisper": more_errors <= GOAL_ERRORS,
        "guesses move the p99 of finals by 10 % at most": guessing.p99_ms
        <= GOAL_P99 * without.p99_ms,
        "every text arrives when a replica dies, and was asked again": death.right == death.asked
        and death.again > 0,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.stt", description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="of each engine (default 1)")
    return parser


if __name__ == "__main__":
    # So that Ray and OpenMP start no further threads, which would disturb the measurement.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
