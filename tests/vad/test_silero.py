"""Voice activity detection on recorded speech, with many sessions in one batch."""

import asyncio
from threading import Event

import numpy as np
import pytest

from serve_app.conversation.settings import FRAME_SAMPLES
from serve_app.ingress.load import Load
from serve_app.ingress.voice_activity import VoiceActivityBatcher
from serve_app.protocol.messages import Samples
from serve_app.vad.jobs import VadAnswer, VadJob, new_row
from serve_app.vad.silero import SileroVad
from tests.ingress.streams import Listener
from tests.speech import clip

pytestmark = pytest.mark.models

CLIPS = ("librivox_0880", "librivox_0930", "go_forward")


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad()


def frames(samples: Samples) -> Samples:
    return samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)


def alone(vad: SileroVad, samples: Samples) -> Samples:
    return vad.detect([VadJob(new_row(), frames(samples))])[0].probabilities


def test_it_tells_speech_from_silence_and_noise(vad: SileroVad) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 32_000).astype(np.float32)
    assert np.mean(alone(vad, clip("librivox_0870")) >= 0.5) > 0.8
    assert alone(vad, np.zeros(32_000, dtype=np.float32)).max() < 0.35
    assert alone(vad, noise).max() < 0.35


def test_a_batch_gives_what_lone_runs_give(vad: SileroVad) -> None:
    """Rows of different lengths. Echo, with one state for all sessions, would fail."""
    jobs = [VadJob(new_row(), frames(clip(name))) for name in CLIPS]
    for name, answer in zip(CLIPS, vad.detect(jobs), strict=True):
        assert np.array_equal(answer.probabilities, alone(vad, clip(name)))


def test_the_row_carries_a_session_from_call_to_call(vad: SileroVad) -> None:
    whole, row, parts = frames(clip("go_forward")), new_row(), []
    for start in range(0, len(whole), 5):
        (answer,) = vad.detect([VadJob(row, whole[start : start + 5])])
        row = answer.row
        parts.append(answer.probabilities)
    assert np.array_equal(np.concatenate(parts), alone(vad, clip("go_forward")))


async def test_the_batcher_keeps_one_call_in_flight_and_every_session_in_order(
    vad: SileroVad,
) -> None:
    in_flight, most = 0, 0

    async def detect(jobs: list[VadJob]) -> list[VadAnswer]:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        answers = await asyncio.to_thread(vad.detect, jobs)
        in_flight -= 1
        return answers

    batcher = VoiceActivityBatcher(detect, Load())
    running = asyncio.create_task(batcher.run())
    listeners = {name: Listener(len(frames(clip(name)))) for name in CLIPS}
    for listener in listeners.values():
        batcher.add(listener.stream)
    for start in range(0, 60_000, 4 * FRAME_SAMPLES):
        for name, listener in listeners.items():
            part = frames(clip(name)).reshape(-1)[start : start + 4 * FRAME_SAMPLES]
            batcher.push(listener.stream, part)
        await asyncio.sleep(0)
    for name, listener in listeners.items():
        async with asyncio.timeout(20):
            await listener.done.wait()
        assert np.array_equal(
            np.array(listener.probabilities, dtype=np.float32), alone(vad, clip(name))
        )
    assert most == 1
    running.cancel()


def test_a_call_that_nobody_waits_for_ends_at_once(
    vad: SileroVad, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made again when it takes too long: both together would take longer still."""
    abandoned, run, steps = Event(), vad._run, 0

    def counted(*arrays: Samples) -> tuple[Samples, Samples]:
        nonlocal steps
        steps += 1
        if steps == 3:
            abandoned.set()
        return run(*arrays)

    monkeypatch.setattr(vad, "_run", counted)
    assert vad.detect([VadJob(new_row(), frames(clip("go_forward")))], abandoned) == []
    assert steps == 3
