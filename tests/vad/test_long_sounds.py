"""The next word after a long sound is noticed as soon as by a VAD that has heard nothing else."""

from copy import copy

import numpy as np
import pytest

from serve_app.conversation.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ, TurnSettings
from serve_app.conversation.voice import VoiceTracker
from serve_app.ingress.vad_memory import VadMemory
from serve_app.protocol.messages import Samples
from serve_app.vad.jobs import VadJob, new_row
from serve_app.vad.silero import SileroVad
from tests.speech import TRANSCRIPTS, clip
from tests.stt.noise import noises

pytestmark = pytest.mark.models

SOUNDS = ("loud hum of 60 Hz", "white noise at -3 dBFS", "rumble", "a tone of 1 kHz", "beeps")
"""Those after which Silero itself was latest. Music is missing: some of it is voice to Silero."""
LATE_MS = 64
LATEST_MS = 96
"""Of the one recording in ten that begins so softly that anything before it counts."""
FRAMES_PER_CALL = 4
"""As an Echo client sends its audio."""
LOOP_S = 12.8


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad()


def frames(samples: Samples) -> Samples:
    return samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)


def judge(vad: SileroVad, memories: list[VadMemory], sounds: list[Samples]) -> list[Samples]:
    """The voice activity of sounds that are equally long, one for each memory."""
    judged: list[list[Samples]] = [[] for _ in sounds]
    for at in range(0, len(sounds[0]), FRAMES_PER_CALL):
        jobs = [
            VadJob(memory.row, sound[at : at + FRAMES_PER_CALL])
            for memory, sound in zip(memories, sounds, strict=True)
        ]
        for memory, answer, parts in zip(memories, vad.detect(jobs), judged, strict=True):
            memory.take(answer)
            parts.append(answer.probabilities)
    return [np.concatenate(parts) for parts in judged]


def onset_ms(probabilities: Samples) -> int:
    voice = VoiceTracker(TurnSettings())
    for probability in probabilities:
        voice.push(float(probability))
        if voice.is_voiced:
            break
    return voice.judged_at * 1000 // SAMPLE_RATE_HZ


def beginnings(silence_ms: int) -> list[Samples]:
    """The first seconds of each recording, after silence."""
    silence = np.zeros(silence_ms * SAMPLE_RATE_HZ // 1000, dtype=np.float32)
    return [
        frames(np.concatenate((silence, clip(name)[: 2 * SAMPLE_RATE_HZ]))) for name in TRANSCRIPTS
    ]


@pytest.mark.parametrize("silence_ms", [0, 512, 5120])
# The quicker one: the same test after a tenth of the sound.
@pytest.mark.parametrize("seconds", [64.0, pytest.param(640.0, marks=pytest.mark.slow)])
def test_speech_after_a_long_sound_is_noticed_at_once(
    vad: SileroVad, seconds: float, silence_ms: int
) -> None:
    """Without the fading, up to 2 s late. The speech comes right after the sound, or later."""
    sounds, speech = noises(LOOP_S), beginnings(silence_ms)
    memories = [VadMemory() for _ in SOUNDS]
    for _ in range(round(seconds / LOOP_S)):
        judge(vad, memories, [frames(sounds[name]) for name in SOUNDS])
    fresh = judge(vad, [VadMemory() for _ in speech], speech)
    for name, memory in zip(SOUNDS, memories, strict=True):
        kept = judge(vad, [copy(memory) for _ in speech], speech)
        late = [onset_ms(k) - onset_ms(f) for k, f in zip(kept, fresh, strict=True)]
        assert sum(ms > LATE_MS for ms in late) <= 1 and max(late) <= LATEST_MS, (name, late)


def test_speech_is_judged_as_before(vad: SileroVad) -> None:
    """Nothing fades in the pauses of a turn."""
    whole = frames(clip("librivox_0880"))
    (alone,) = vad.detect([VadJob(new_row(), whole)])
    assert np.array_equal(judge(vad, [VadMemory()], [whole])[0], alone.probabilities)
