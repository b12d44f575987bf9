"""Voice activity detection on recorded speech, with many sessions in one batch."""

import asyncio

import numpy as np
import pytest
from ray import cloudpickle
from ray.serve._private.constants import RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH

from serve_app.conversation.settings import FRAME_SAMPLES
from serve_app.errors import EngineError, EngineTimeout
from serve_app.ingress.voice_activity import VoiceActivityBatcher, VoiceStream
from serve_app.protocol.messages import Samples
from serve_app.vad.jobs import VadAnswer, VadJob, new_row
from serve_app.vad.silero import SileroVad
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


class Listener:
    """Collects what the batcher delivers for one session."""

    def __init__(self, expected: int) -> None:
        self.probabilities: list[float] = []
        self.failures: list[EngineError] = []
        self.done = asyncio.Event()
        self._expected = expected
        self.stream = VoiceStream(self._deliver, self._fail)

    def _deliver(self, probabilities: list[float]) -> None:
        self.probabilities += probabilities
        if len(self.probabilities) >= self._expected:
            self.done.set()

    def _fail(self, error: EngineError) -> None:
        self.failures.append(error)
        self.done.set()


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

    batcher = VoiceActivityBatcher(detect)
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


async def test_a_failed_call_fails_its_sessions_and_no_others() -> None:
    async def detect(jobs: list[VadJob]) -> list[VadAnswer]:
        raise EngineTimeout("vad", "no answer")

    batcher = VoiceActivityBatcher(detect)
    running = asyncio.create_task(batcher.run())
    waiting, silent = Listener(1), Listener(1)
    for listener in (waiting, silent):
        batcher.add(listener.stream)
    batcher.push(waiting.stream, np.zeros(FRAME_SAMPLES, dtype=np.float32))
    async with asyncio.timeout(5):
        await waiting.done.wait()
    assert [error.stage for error in waiting.failures] == ["vad"]
    assert not silent.failures and not running.done()
    running.cancel()


@pytest.mark.parametrize("sessions", [1, 100, 600])
async def test_all_sessions_catch_up_with_calls_that_serve_takes(sessions: int) -> None:
    """100 sessions that are 2 s behind are 12 MiB; Serve's gRPC takes 4."""
    sizes: list[int] = []

    async def detect(jobs: list[VadJob]) -> list[VadAnswer]:
        sizes.append(len(cloudpickle.dumps(jobs)))
        return [VadAnswer(job.row, job.frames[:, 0]) for job in jobs]

    behind = 64
    batcher = VoiceActivityBatcher(detect)
    listeners = [Listener(behind) for _ in range(sessions)]
    order = np.arange(behind, dtype=np.float32)
    for listener in listeners:
        batcher.add(listener.stream)
        batcher.push(listener.stream, np.repeat(order, FRAME_SAMPLES))
    running = asyncio.create_task(batcher.run())
    async with asyncio.timeout(20):
        await asyncio.gather(*(listener.done.wait() for listener in listeners))
    running.cancel()
    assert all(listener.probabilities == order.tolist() for listener in listeners)
    assert max(sizes) < RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH


def test_a_session_too_far_behind_fails() -> None:
    async def detect(jobs: list[VadJob]) -> list[VadAnswer]:
        raise AssertionError("it is not running")

    batcher, listener = VoiceActivityBatcher(detect), Listener(1)
    batcher.add(listener.stream)
    for _ in range(30):
        batcher.push(listener.stream, np.zeros(64 * FRAME_SAMPLES, dtype=np.float32))
    assert listener.failures and len(listener.stream.waiting) <= 704
