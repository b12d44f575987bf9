"""What the server's models say at each silence of a recorded turn."""

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.turn_recordings import Recorded
from serve_app.conversation.settings import (
    FRAME_MS,
    FRAME_SAMPLES,
    SAMPLE_RATE_HZ,
    SMART_TURN_WINDOW_S,
    TurnSettings,
    samples,
)
from serve_app.conversation.voice import VoiceTracker
from serve_app.protocol.messages import Samples
from serve_app.settings.schema import SttSettings
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.transcriber import WhisperEngine
from serve_app.vad.jobs import VadJob, new_row
from serve_app.vad.silero import SileroVad
from serve_app.vad.smart_turn import SmartTurn

SHORTEST_PAUSE_MS = 200
LONGEST_WAIT_MS = 3000
ASKED_MS = (96, 128, 192, 256, 320, 384, 448, 512, 640, 800, 1024)
"""After so much silence the end-of-turn model is asked."""
_LEVEL_BEFORE_MS, _LEVEL_AFTER_MS = 2000, 256


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence after speech."""

    length_ms: int
    """Until speech goes on, or the recording ends."""
    speech_ms: int
    """Length of the run of speech before it."""
    complete: Mapping[int, float]
    """By the silence heard when the model was asked, in ms: its probability, 0 to 1, that the
    turn is complete. It is asked as long as the silence lasts."""
    text: str
    """The transcript of the turn so far."""
    earlier_ms: tuple[int, ...]
    """The silences in the turn before it that were long enough for a transcript to be asked for."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A recorded turn."""

    set: str
    speaker: str
    name: str
    pauses: tuple[Silence, ...]
    """The silences of 200 ms and more after which the speaker went on."""
    end: Silence | None
    """The silence after the turn; None if the speaker had not finished."""
    end_lag_ms: float = 0.0
    """From the end of speech by its level to the end by voice activity; may be negative."""

    @property
    def silences(self) -> tuple[Silence, ...]:
        """The pauses, and the end if there is one."""
        return self.pauses if self.end is None else (*self.pauses, self.end)


@dataclass(frozen=True, slots=True)
class _Gap:
    """Where a silence is, in frames of the VAD."""

    start: int
    end: int
    speech_ms: int

    @property
    def length_ms(self) -> int:
        return (self.end - self.start) * FRAME_MS


class Ears:
    """The three models, and how long each judgement took."""

    def __init__(self, settings: TurnSettings) -> None:
        self._settings = settings
        self._vad = SileroVad()
        self._smart_turn = SmartTurn()
        self._whisper = WhisperEngine(SttSettings(device="cpu", threads=1))
        self._smart_turn.warm_up()
        self._whisper.warm_up()
        self.judgements_ms: list[float] = []

    def turn(self, clip: Recorded) -> Turn:
        """Everything that the policies need to know of a clip."""
        heard = np.concatenate((clip.samples, room_tone(clip.room)))
        began_at, gaps = self._gaps(heard)
        last = gaps[-1]
        if last.length_ms < LONGEST_WAIT_MS:
            raise SystemExit(f"{clip.name}: its recording has no silence to go on with")
        asked = [
            self._silence(heard, began_at, gap, gaps)
            for gap in (gaps if clip.is_end else gaps[:-1])
            if gap.length_ms >= SHORTEST_PAUSE_MS
        ]
        end = asked.pop() if clip.is_end else None
        until = last.start * FRAME_SAMPLES
        lag_ms = (until - speech_end(heard, until)) * 1000 / SAMPLE_RATE_HZ
        return Turn(clip.set, clip.speaker, clip.name, tuple(asked), end, lag_ms)

    def _gaps(self, heard: Samples) -> tuple[int, list[_Gap]]:
        """The sample at which the turn begins, and the silences once it has begun."""
        frames = heard[: len(heard) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
        (answer,) = self._vad.detect([VadJob(new_row(), frames)])
        voice = VoiceTracker(self._settings)
        began_at: int | None = None
        voiced: list[tuple[int, int]] = []
        for frame, probability in enumerate(answer.probabilities):
            voice.push(float(probability))
            if began_at is None and voice.speech_ms >= self._settings.min_speech_ms:
                began_at = voice.onset_at
            if began_at is not None and voice.is_voiced:
                voiced.append((frame, voice.speech_ms))
        assert began_at is not None, "nobody speaks"
        following = [frame for frame, _ in voiced[1:]] + [len(frames)]
        gaps = [
            _Gap(last + 1, next_, speech_ms)
            for (last, speech_ms), next_ in zip(voiced, following, strict=True)
            if next_ - last > 1
        ]
        return max(0, began_at - samples(self._settings.pre_roll_ms)), gaps

    def _silence(self, heard: Samples, began_at: int, gap: _Gap, gaps: list[_Gap]) -> Silence:
        earlier = [
            other.length_ms
            for other in gaps
            if other.end <= gap.start and other.length_ms >= self._settings.soft_end_ms
        ]
        start = gap.start * FRAME_SAMPLES
        soft_end = start + samples(self._settings.soft_end_ms)
        text = self._whisper.transcribe_now([Utterance(heard[began_at:soft_end])])[0]
        complete = self._judge(heard, began_at, gap)
        return Silence(gap.length_ms, gap.speech_ms, complete, text, tuple(earlier))

    def _judge(self, heard: Samples, began_at: int, gap: _Gap) -> Mapping[int, float]:
        complete = {}
        for silence_ms in ASKED_MS:
            if silence_ms <= gap.length_ms:
                end = gap.start * FRAME_SAMPLES + samples(silence_ms)
                start = max(began_at, end - SMART_TURN_WINDOW_S * SAMPLE_RATE_HZ)
                asked = time.perf_counter()
                complete[silence_ms] = round(self._smart_turn.judge(heard[start:end]), 4)
                self.judgements_ms.append((time.perf_counter() - asked) * 1000)
        return complete


def speech_end(heard: Samples, voiced_until: int) -> int:
    """The sample after the speech, by its level, as serve_app.client.speech.trim finds it. Only
    what is near its end by voice activity counts: elsewhere a knock may be louder than all speech.
    """
    window = SAMPLE_RATE_HZ // 100
    start = max(0, voiced_until - samples(_LEVEL_BEFORE_MS)) // window * window
    near = heard[start : voiced_until + samples(_LEVEL_AFTER_MS)]
    level = np.sqrt((near[: len(near) // window * window].reshape(-1, window) ** 2).mean(axis=1))
    return start + int(np.flatnonzero(level >= 0.1 * level.max())[-1] + 1) * window


def room_tone(recording: Samples) -> Samples:
    """The quietest 200 ms, forwards and backwards, for longer than any policy waits."""
    size = samples(200)
    starts = range(0, len(recording) - size, size // 4)
    quietest = min(starts, key=lambda at: float(np.square(recording[at : at + size]).sum()))
    tone = recording[quietest : quietest + size]
    count = samples(LONGEST_WAIT_MS + 1000) // (2 * size)
    return np.tile(np.concatenate((tone, tone[::-1])), count)


def to_rows(turn: Turn) -> Iterator[dict[str, Any]]:
    """A row of the table for each silence."""
    for silence in turn.silences:
        yield {
            "set": turn.set,
            "speaker": turn.speaker,
            "clip": turn.name,
            "is_end": silence is turn.end,
            "length_ms": silence.length_ms,
            "speech_ms_before": silence.speech_ms,
            "complete": silence.complete,
            "text": silence.text,
            "earlier_pauses_ms": silence.earlier_ms,
            "end_lag_ms": round(turn.end_lag_ms, 1),
        }


def from_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[Turn]:
    """The turns of a table, without those that have no silence in them."""
    for (set_, speaker, clip), group in itertools.groupby(
        rows, lambda row: (row["set"], row["speaker"], row["clip"])
    ):
        silences = [(row["is_end"], _silence_of(row), row["end_lag_ms"]) for row in group]
        pauses = tuple(silence for is_end, silence, _ in silences if not is_end)
        end = next((silence for is_end, silence, _ in silences if is_end), None)
        yield Turn(set_, speaker, clip, pauses, end, silences[-1][2])


def _silence_of(row: Mapping[str, Any]) -> Silence:
    complete = {int(silence_ms): p for silence_ms, p in row["complete"].items()}
    earlier = tuple(row["earlier_pauses_ms"])
    return Silence(row["length_ms"], row["speech_ms_before"], complete, row["text"], earlier)


def save(turns: Iterable[Turn], path: Path) -> None:
    """Writes the table as JSON."""
    rows = [row for turn in turns for row in to_rows(turn)]
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def load(path: Path) -> list[Turn]:
    """Reads the table again."""
    return list(from_rows(json.loads(path.read_text())))
