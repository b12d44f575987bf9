"""Noise says nothing, and speech loses nothing."""

import wave
from pathlib import Path

import numpy as np
import pytest

from serve_app.conversation.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ, TurnSettings
from serve_app.conversation.voice import VoiceTracker
from serve_app.protocol.messages import Samples
from serve_app.settings.schema import SttSettings
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.guards import is_doubled, is_said, repeats_itself
from serve_app.stt.whisper.transcriber import WhisperEngine
from serve_app.vad.jobs import VadJob, new_row
from serve_app.vad.silero import SileroVad
from tests.speech import TRANSCRIPTS, clip
from tests.stt.noise import noises

pytestmark = pytest.mark.models
TURNS = sorted((Path(__file__).parents[1] / "data" / "turns").glob("*.wav"))


@pytest.fixture(scope="module")
def engine() -> WhisperEngine:
    return WhisperEngine(SttSettings(device="cpu", threads=1))


@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.5, 3.0, 10.0])
def test_noise_says_nothing(engine: WhisperEngine, seconds: float) -> None:
    heard = {
        name: engine.transcribe_now([Utterance(samples)])[0]
        for name, samples in noises(seconds).items()
    }
    assert not {name: text for name, text in heard.items() if text}


@pytest.mark.parametrize("loudness", [1.0, 0.1])
def test_speech_is_not_taken_for_noise(engine: WhisperEngine, loudness: float) -> None:
    """Each recording as a whole, and each run of speech that the VAD finds in it."""
    speech = [clip(name) for name in TRANSCRIPTS] + [_read(path) for path in TURNS]
    speech += [run for samples in speech for run in _runs(samples)]
    lost = [
        len(samples) / SAMPLE_RATE_HZ
        for samples in speech
        if len(samples) <= 30 * SAMPLE_RATE_HZ
        and not engine.transcribe_now([Utterance(samples * np.float32(loudness))])[0]
    ]
    assert len(speech) > 25
    assert not lost, f"seconds of speech that came to nothing: {lost}"


def _read(path: Path) -> Samples:
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return pcm.astype(np.float32) / np.float32(32768)


def _runs(samples: Samples) -> list[Samples]:
    """Speech of at least 700 ms between silences of 200 ms, with the pre-roll of a turn. From
    300 ms on, two more runs of `cold_corpus` (0.5 and 0.6 s) come to nothing: probably
    an "uh" each, which tiny.en writes as "I'm sorry."; nobody has listened to them."""
    settings = TurnSettings()
    tracker = VoiceTracker(settings)
    frames = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    (answer,) = SileroVad(1).detect([VadJob(new_row(), frames)])
    runs, start = [], None
    for probability in answer.probabilities:
        tracker.push(float(probability))
        if tracker.is_voiced and start is None:
            start = tracker.judged_at - FRAME_SAMPLES
        if start is not None and tracker.silence_ms >= 192:
            if tracker.speech_end_at - start >= 0.7 * SAMPLE_RATE_HZ:
                first = max(0, start - settings.pre_roll_ms * SAMPLE_RATE_HZ // 1000)
                runs.append(samples[first : tracker.judged_at])
            start = None
    return runs


@pytest.mark.parametrize(
    "text, no_speech, mean_log_probability, said",
    [
        ("Go forward.", 0.05, -0.4, True),
        ("7 of clubs.", 0.04, -1.5, True),
        ("I'm not a fan.", 0.8, -2.1, False),
        ("Stop it.", 0.7, -0.3, True),
        ("Thank you.", 0.5, -0.5, False),
        ("Thank you.", 0.1, -0.5, True),
        ("No.", 0.5, -1.7, False),
        ("No.", 0.3, -1.7, True),
        ("Five, five.", 0.3, -1.9, True),
        ("Five, five.", 0.5, -1.5, True),
        (". . . .", 0.1, -0.2, False),
        ("a bit of a bit of " * 10, 0.1, -0.3, False),
        ("", 0.0, 0.0, False),
    ],
)
def test_what_counts_as_said(
    text: str, no_speech: float, mean_log_probability: float, said: bool
) -> None:
    assert is_said(text, no_speech, mean_log_probability) is said


def test_repetition() -> None:
    assert repeats_itself("five " * 40)
    assert not repeats_itself("No, no, no, no!")
    assert not repeats_itself(" ".join(TRANSCRIPTS.values()))


def test_a_phrase_twice_over() -> None:
    assert is_doubled("the air is cold. The air is cold.")
    assert not is_doubled("Five five")
    assert not is_doubled("No, no, no, no!")
    assert not is_doubled("Ten of clubs, ten of hearts.")
