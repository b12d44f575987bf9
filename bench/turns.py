"""`make bench-turns`: how soon a turn can end without cutting its speaker off.

Silence alone is compared with Smart Turn, by the method of LiveKit's eot-bench
(https://github.com/livekit/eot-bench). Every silence of 200 ms or more inside a turn is a chance to
cut the speaker off, judged on its own with all that was said before it; the last silence is the
true end. A policy is scored by the share of pauses in which it would have ended the turn and by its
delay at true ends, and a family of policies by its best ones. Real models run on recorded speech,
without a server. The time that a judgement takes is not in the delays, as long as it fits between
asking and ending.

    python -m bench.turns [FOLDER ...]   # of turns as 16-bit mono WAV at 16 kHz; ours by default
"""

import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bench.turn_policies import Model, Policy, Server, Silence, SilenceOnly, Turn
from serve_app.client.speech import read_wav
from serve_app.conversation.settings import (
    FRAME_MS,
    FRAME_SAMPLES,
    SAMPLE_RATE_HZ,
    TurnSettings,
    samples,
)
from serve_app.conversation.voice import VoiceTracker
from serve_app.protocol.messages import Samples
from serve_app.vad.jobs import VadJob, new_row
from serve_app.vad.silero import SileroVad
from serve_app.vad.smart_turn import SmartTurn

DATA = Path(__file__).parents[1] / "tests" / "data"
READING = (("0870", "0880", "0890"), ("0920", "0930"))
"""Consecutive parts of one recording. Joined, they have the reader's own pauses."""
SHORTEST_PAUSE_MS = 200
LONGEST_WAIT_MS = 3000
JUDGE_SILENCES_MS = (64, 128, 192, 256)
SWEEP = [
    Model(*knobs)
    for knobs in itertools.product(
        JUDGE_SILENCES_MS, (0.3, 0.5, 0.7, 0.9), (256, 320, 400, 512), (1000, 1500, 2000, 3000)
    )
]
SILENCE_SWEEP = [SilenceOnly(ms) for ms in range(200, 2001, 100)]
CUTOFF_BUDGETS = (0.05, 0.10)
DELAY_BUDGETS_MS = (300, 600)
"""The operating points of eot-bench, where the delay is a mean too."""


@dataclass(frozen=True, slots=True)
class Score:
    """How a policy does over all turns."""

    policy: str
    cutoffs: float
    """Share of the pauses in which it ends the turn, 0 to 1."""
    mean_ms: int
    """Mean delay from the true end of speech, by its level, to the decision. The next two are
    percentiles of the same."""
    p50_ms: int
    p95_ms: int

    def __str__(self) -> str:
        return (
            f"{self.cutoffs:7.1%} {self.mean_ms:8} {self.p50_ms:6} {self.p95_ms:6}   {self.policy}"
        )


COLUMNS = "cut-off  mean ms    p50    p95   policy"


class Ears:
    """The two models, and how long each judgement took."""

    def __init__(self) -> None:
        self._vad = SileroVad()
        self._smart_turn = SmartTurn()
        self._smart_turn.warm_up()
        self.judgements_ms: list[float] = []

    def turn(self, name: str, clip: Samples, is_finished: bool) -> Turn:
        """Everything that the policies need to know of a clip."""
        heard = np.concatenate((clip, room_tone(clip)))
        *pauses, last = self._silences(heard)
        end_lag_ms = (last.start * FRAME_SAMPLES - speech_end(clip)) * 1000 / SAMPLE_RATE_HZ
        long = [pause for pause in pauses if pause.length_ms >= SHORTEST_PAUSE_MS]
        return Turn(name, tuple(long), last if is_finished else None, end_lag_ms)

    def _silences(self, heard: Samples) -> Iterator[Silence]:
        """The silences after each stretch of speech."""
        frames = heard[: len(heard) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
        (answer,) = self._vad.detect([VadJob(new_row(), frames)])
        voice, voiced = VoiceTracker(TurnSettings()), []
        for frame, probability in enumerate(answer.probabilities):
            voice.push(float(probability))
            if voice.is_voiced:
                voiced.append(frame)
        for last, following in itertools.pairwise([*voiced, len(frames)]):
            if following - last > 1:
                length_ms = (following - last - 1) * FRAME_MS
                yield Silence(last + 1, length_ms, self._judge(heard, last + 1, length_ms))

    def _judge(self, heard: Samples, start: int, length_ms: int) -> Mapping[int, float]:
        """The probability of a complete turn after each of JUDGE_SILENCES_MS that is reached."""
        complete = {}
        for silence_ms in JUDGE_SILENCES_MS:
            if silence_ms <= length_ms and length_ms >= SHORTEST_PAUSE_MS:
                asked = time.perf_counter()
                end = start * FRAME_SAMPLES + samples(silence_ms)
                complete[silence_ms] = self._smart_turn.judge(heard[:end])
                self.judgements_ms.append((time.perf_counter() - asked) * 1000)
        return complete


def speech_end(clip: Samples) -> int:
    """The sample after the speech, by its level, as serve_app.client.speech.trim finds it. Only the
    last 2 s count, because a knock early in a long clip is louder than all the speech."""
    window = SAMPLE_RATE_HZ // 100
    count = min(len(clip) // window, 200)
    start = len(clip) - count * window
    level = np.sqrt((clip[start:].reshape(count, window) ** 2).mean(axis=1))
    return start + int(np.flatnonzero(level >= 0.1 * level.max())[-1] + 1) * window


def room_tone(clip: Samples) -> Samples:
    """The clip's quietest 200 ms, forwards and backwards, for longer than any policy waits."""
    size = samples(200)
    starts = range(0, len(clip) - size, size // 4)
    quietest = min(starts, key=lambda start: float(np.square(clip[start : start + size]).sum()))
    tone = clip[quietest : quietest + size]
    count = samples(LONGEST_WAIT_MS + 1000) // (2 * size)
    return np.tile(np.concatenate((tone, tone[::-1])), count)


def clips(folders: Iterable[Path]) -> Iterator[tuple[str, Samples, bool]]:
    """Name, samples, and whether the speaker has finished at the end."""
    if paths := [path for folder in folders for path in sorted(folder.glob("*.wav"))]:
        yield from ((path.stem, read_wav(path), True) for path in paths)
        return
    for parts in READING:
        read = [read_wav(DATA / "speech" / f"librivox_{part}.wav") for part in parts]
        yield "librivox", np.concatenate(read), False
    commands = [path for path in (DATA / "speech").glob("*.wav") if "librivox" not in path.stem]
    for path in sorted((*commands, *(DATA / "turns").glob("*.wav"))):
        yield path.stem, read_wav(path), True


def score(policy: Policy, turns: list[Turn]) -> Score:
    """Cut-offs over all pauses, delays over all true ends."""
    cut, delays = [], []
    for turn in turns:
        waits = policy.waits_ms(turn)
        cut += [p.length_ms >= wait for p, wait in zip(turn.pauses, waits, strict=False)]
        if turn.end is not None:
            delays.append(-(-waits[-1] // FRAME_MS) * FRAME_MS + turn.end_lag_ms)
    mean_ms, p50_ms, p95_ms = np.mean(delays), *np.percentile(delays, (50, 95))
    return Score(
        str(policy), round(statistics.mean(cut), 3), round(mean_ms), round(p50_ms), round(p95_ms)
    )


def operating_points(scores: list[Score]) -> dict[str, Score | None]:
    """The best policy within each budget, if any keeps it."""
    points: dict[str, Score | None] = {}
    for budget in CUTOFF_BUDGETS:
        kept = [s for s in scores if s.cutoffs <= budget]
        points[f"delay_at_{budget * 100:.0f}pct"] = min(
            kept, key=lambda s: (s.mean_ms, s.cutoffs), default=None
        )
    for delay_ms in DELAY_BUDGETS_MS:
        kept = [s for s in scores if s.mean_ms <= delay_ms]
        points[f"cutoffs_at_{delay_ms}ms"] = min(
            kept, key=lambda s: (s.cutoffs, s.mean_ms), default=None
        )
    return points


def frontier(scores: list[Score]) -> list[Score]:
    """The policies that no other one beats in both cut-offs and delay, the fastest first."""
    best: list[Score] = []
    for candidate in sorted(scores, key=lambda s: (s.mean_ms, s.cutoffs)):
        if not best or candidate.cutoffs < best[-1].cutoffs:
            best.append(candidate)
    return best


def print_material(turns: list[Turn], seconds: float) -> tuple[int, int]:
    pauses = sum(len(turn.pauses) for turn in turns)
    ends = sum(turn.end is not None for turn in turns)
    print(f"{len(turns)} recorded turns, {seconds:.0f} s: {pauses} pauses, {ends} true ends")
    for turn in turns:
        end = "read on" if turn.end is None else f"end {turn.end.complete[192]:.2f}"
        held = ", ".join(f"{p.length_ms} ms {p.complete[192]:.2f}" for p in turn.pauses)
        print(f"  {turn.name:12} {end}" + (f"; pauses {held}" if held else ""))
    print("(numbers after `end` and `ms`: how complete the model finds the turn, 192 ms on)")
    print(f"Small: one pause is {1 / pauses:.0%}. Compare policies with it, not products.\n")
    return pauses, ends


def print_points(name: str, points: Mapping[str, Score | None]) -> None:
    print(f"\n{name}: best within a budget\n{'':16} {COLUMNS}")
    for budget, point in points.items():
        print(f"{budget:16} {point or 'none'}")


def main() -> None:
    ears = Ears()
    heard = list(clips(map(Path, sys.argv[1:])))
    turns = [ears.turn(*clip) for clip in heard]
    seconds = sum(len(clip) for _, clip, _ in heard) / SAMPLE_RATE_HZ
    pauses, ends = print_material(turns, seconds)

    silence = [score(policy, turns) for policy in SILENCE_SWEEP]
    print("silence only", COLUMNS, *silence, sep="\n")
    model = [score(policy, turns) for policy in SWEEP]
    print(
        f"\nfrontier of {len(model)} policies with the model", COLUMNS, *frontier(model), sep="\n"
    )
    points = {"silence": operating_points(silence), "model": operating_points(model)}
    for name, family in points.items():
        print_points(name, family)
    default = score(Server(TurnSettings()), turns)
    judgement_ms = statistics.median(ears.judgements_ms)
    print(f"\n{'the server':16} {default}")
    print(f"time per judgement, one thread: p50 {judgement_ms:.0f} ms\n")
    print(
        json.dumps(
            {
                "turns": len(turns), "pauses": pauses, "ends": ends, "seconds": round(seconds),
                "judgement_ms": round(judgement_ms, 1),
                "frontier": {
                    name: {budget: point and asdict(point) for budget, point in family.items()}
                    for name, family in points.items()
                },
                "default": asdict(default),
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
