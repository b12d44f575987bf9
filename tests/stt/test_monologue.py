"""Turns that are longer than Whisper's window, from the samples to the text: the conversation, the
VAD and the engine as they run, without a server."""

from itertools import count, cycle

import numpy as np
import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.machine import Conversation
from serve_app.conversation.settings import (
    FRAME_SAMPLES,
    SAMPLE_RATE_HZ,
    WHISPER_WINDOW_S,
    TurnSettings,
)
from serve_app.protocol.messages import Samples
from serve_app.settings.schema import SttSettings
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.transcriber import WhisperEngine
from serve_app.vad.jobs import VadJob, new_row
from serve_app.vad.silero import SileroVad
from tests.speech import TRANSCRIPTS, clip, transcript, word_error_rate

pytestmark = pytest.mark.models

SETTINGS = TurnSettings(end_silence_ms=2000, max_silence_ms=2000)
"""One turn, whatever the pauses between the clips."""
_CHUNK = SAMPLE_RATE_HZ // 10
"""As clients send it."""


@pytest.fixture(scope="module")
def engine() -> WhisperEngine:
    engine = WhisperEngine(SttSettings(device="cpu"))
    engine.warm_up()
    return engine


def monologue(seconds: float) -> tuple[Samples, str]:
    """Speech of at least this length without a pause of a second, and what is said in it."""
    names = cycle(name for name in TRANSCRIPTS if name.startswith("librivox"))
    spoken, said = np.zeros(0, dtype=np.float32), []
    while len(spoken) < seconds * SAMPLE_RATE_HZ:
        name = next(names)
        spoken = np.concatenate((spoken, clip(name)))
        said.append(transcript(name))
    return spoken, " ".join(said)


def segments(spoken: Samples) -> list[Samples]:
    """What the transcriber is asked for when this is said, without what is taken back."""
    numbers, vad, row = count(1), SileroVad(), new_row()
    talk = Conversation(SETTINGS, lambda: f"token{next(numbers):03}")
    asked: dict[tuple[int, int], Samples] = {}

    def follow(effects: list[ef.Effect], now_s: float) -> None:
        nonlocal row
        for effect in effects:
            match effect:
                case ef.Detect(frames):
                    (answer,) = vad.detect([VadJob(row, frames.reshape(-1, FRAME_SAMPLES))])
                    row = answer.row
                    for probability in answer.probabilities:
                        follow(talk.handle(ev.VoiceActivity(float(probability)), now_s), now_s)
                case ef.Transcribe(generation, segment, samples):
                    asked[generation, segment] = samples
                case ef.CancelSegment(generation, segment):
                    del asked[generation, segment]

    follow(talk.handle(ev.Opened("Be kind.", greeting=""), 0.0), 0.0)
    stream = np.concatenate((spoken, np.zeros(3 * SAMPLE_RATE_HZ, dtype=np.float32)))
    for at in range(0, len(stream), _CHUNK):
        now_s = at / SAMPLE_RATE_HZ
        follow(talk.handle(ev.AudioReceived(stream[at : at + _CHUNK]), now_s), now_s)
    assert len({generation for generation, _ in asked}) == 1, "one turn"
    return list(asked.values())


# The quicker one: the same test with a shorter monologue.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [35, pytest.param(95, marks=pytest.mark.slow)])
def test_a_monologue_arrives_whole(engine: WhisperEngine, seconds: int) -> None:
    spoken, said = monologue(seconds)
    parts = segments(spoken)
    assert max(map(len, parts)) <= WHISPER_WINDOW_S * SAMPLE_RATE_HZ
    text = " ".join(engine.transcribe_now([Utterance(part)])[0] for part in parts)
    assert word_error_rate(said, text) <= 0.08, text
