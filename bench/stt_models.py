"""`make bench-stt-models`: Whisper tiny.en and base on speech that nothing here was tuned on.

Both run as the server runs them, one thread each. Long recordings are cut where the speaker is
quiet. Prints a table, and one JSON object as the last line.
"""

import argparse
import json
import os
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from bench.held_out import Recording, recordings
from bench.machine import machine
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.conversation.words import words as spoken_words
from serve_app.protocol.languages import AUTO
from serve_app.protocol.messages import Samples
from serve_app.settings.schema import WHISPER_BASE, WHISPER_TINY_EN, SttSettings
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.transcriber import WhisperEngine
from tests.speech import clip, edits, words

_SHORTEST_S, _LONGEST_S = 6.0, 14.0
_QUIET_S = 0.2
_SECONDS = (1, 3, 5, 10)
_REPEATS = 7
_READING = ("librivox_0870", "librivox_0880")


@dataclass(frozen=True, slots=True)
class Result:
    """One model on one recording."""

    recording: str
    model: str
    language: str
    """What it was told; `auto` is nothing."""
    errors: int
    of: int
    """Words; for Japanese, characters."""
    seconds: float
    """Of work, for all of it."""


def main() -> None:
    arguments = _parser().parse_args()
    engines = {
        name: WhisperEngine(SttSettings(model=name, device="cpu", threads=arguments.threads))
        for name in (WHISPER_TINY_EN, WHISPER_BASE)
    }
    for engine in engines.values():
        engine.warm_up()
    speech = recordings()
    print(f"{machine()}, {arguments.threads} thread(s) an engine")
    print("recording      model             told   errors            work")
    results = [
        result
        for recording in speech
        for name, engine in engines.items()
        for language in _told(recording, name)
        if (result := _judge(recording, name, engine, language))
    ]
    costs = {seconds: _cost(engines, seconds) for seconds in _SECONDS}
    for seconds, (tiny_ms, base_ms) in costs.items():
        print(f"{seconds:4d} s: tiny.en {tiny_ms:.0f} ms, base {base_ms:.0f} ms,"
              f" {base_ms / tiny_ms:.2f} times as much")  # fmt: skip
    print(json.dumps({"results": [asdict(result) for result in results], "ms": costs}))


def _told(recording: Recording, model: str) -> tuple[str, ...]:
    if model == WHISPER_BASE:
        return (recording.language, AUTO)
    return (recording.language,) if recording.language == "en" else ()


def _judge(recording: Recording, name: str, engine: WhisperEngine, language: str) -> Result:
    began_s = time.perf_counter()
    heard = " ".join(
        engine.transcribe_now([Utterance(part, engine.check_language(language))])[0]
        for part in parts(recording.samples)
    )
    seconds = time.perf_counter() - began_s
    split = _SPLITS[recording.language]
    expected = split(recording.text)
    result = Result(
        recording.name, name, language, edits(expected, split(heard)), len(expected), seconds
    )
    print(
        f"{result.recording:14} {name:17} {language:5}"
        f" {result.errors:3d} of {result.of:3d} ({result.errors / result.of:6.1%})"
        f"  {seconds:5.1f} s",
        flush=True,
    )
    return result


def parts(samples: Samples) -> list[Samples]:
    """Cut at the quietest place, so that each part but the last has 6 to 14 s."""
    cut, start = [], 0
    while len(samples) - start > _LONGEST_S * SAMPLE_RATE_HZ:
        first = start + round(_SHORTEST_S * SAMPLE_RATE_HZ)
        last = start + round(_LONGEST_S * SAMPLE_RATE_HZ)
        width = round(_QUIET_S * SAMPLE_RATE_HZ)
        power = np.convolve(np.square(samples[first:last]), np.ones(width), mode="valid")
        end = first + int(power.argmin()) + width // 2
        cut.append(samples[start:end])
        start = end
    return [*cut, samples[start:]]


def _letters(text: str) -> list[str]:
    return [c for c in unicodedata.normalize("NFKC", text) if c.isalnum()]


_SPLITS: dict[str, Callable[[str], Sequence[str]]] = {
    "en": words,  # numbers up to ten count in figures as in words
    "es": spoken_words,
    "ja": _letters,
}


def _cost(engines: dict[str, WhisperEngine], seconds: int) -> tuple[float, float]:
    """The fastest runs for one utterance, in ms: other work shares the machine. The engines take
    turns."""
    reading = np.concatenate([clip(name) for name in _READING])
    utterance = Utterance(reading[: seconds * SAMPLE_RATE_HZ])
    times_ms: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(_REPEATS):
        for name, engine in engines.items():
            began_s = time.perf_counter()
            engine.transcribe_now([utterance])
            times_ms[name].append((time.perf_counter() - began_s) * 1000)
    tiny, base = (min(times_ms[name]) for name in (WHISPER_TINY_EN, WHISPER_BASE))
    return tiny, base


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.stt_models", description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="of each engine (default 1)")
    return parser


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
