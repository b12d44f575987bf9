"""The frames of all sessions on their way to the VAD: bounds, order, and a VAD that is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from ray import cloudpickle
from ray.serve._private.constants import RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH

from serve_app.conversation.settings import FRAME_SAMPLES
from serve_app.errors import EngineError, EngineTimeout, EngineUnavailable
from serve_app.ingress import voice_activity
from serve_app.ingress.load import Load
from serve_app.ingress.voice_activity import Detect, VoiceActivityBatcher
from serve_app.vad.jobs import VadAnswer, VadJob
from tests.ingress.streams import Listener

MOST = voice_activity._MAX_WAITING_FRAMES


@asynccontextmanager
async def running(detect: Detect, *listeners: Listener) -> AsyncIterator[VoiceActivityBatcher]:
    batcher = VoiceActivityBatcher(detect, Load())
    for listener in listeners:
        batcher.add(listener.stream)
    loop = asyncio.create_task(batcher.run())
    yield batcher
    assert not loop.done()
    loop.cancel()


def numbered(first: int, count: int) -> np.ndarray:
    """Frames whose samples are their number."""
    return np.repeat(np.arange(first, first + count, dtype=np.float32), FRAME_SAMPLES)


def judged(jobs: list[VadJob]) -> list[VadAnswer]:
    return [VadAnswer(job.row, job.frames[:, 0]) for job in jobs]


async def done(*listeners: Listener) -> None:
    async with asyncio.timeout(20):
        await asyncio.gather(*(listener.done.wait() for listener in listeners))


@pytest.mark.parametrize("error", [EngineTimeout, EngineUnavailable])
async def test_frames_wait_for_a_vad_that_is_away(
    error: type[EngineError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every frame is judged once, in order; no session is told."""
    monkeypatch.setattr(voice_activity, "_RETRY_S", 0.001)
    calls = 0

    async def detect(jobs: list[VadJob]) -> list[VadAnswer]:
        nonlocal calls
        calls += 1
        if calls % 5:
            raise error("vad", "no answer")
        return judged(jobs)

    one, other = Listener(200), Listener(200)
    async with running(detect, one, other) as batcher:
        for first in range(0, 200, 4):
            for listener in (one, other):
                batcher.push(listener.stream, numbered(first, 4))
            await asyncio.sleep(0)
        await done(one, other)
    for listener in (one, other):
        assert listener.probabilities == list(range(200)) and not listener.failures


async def test_a_call_that_always_fails_ends_one_session() -> None:
    """The other one, which was in the same call, does not notice."""

    async def detect(jobs: list[VadJob]) -> list[VadAnswer]:
        if any(job.frames[0, 0] == 7 for job in jobs):
            raise EngineError("vad", "ValueError")
        return judged(jobs)

    whole, broken = Listener(1), Listener(1)
    async with running(detect, whole, broken) as batcher:
        batcher.push(whole.stream, numbered(1, 1))
        batcher.push(broken.stream, numbered(7, 1))
        await done(whole, broken)
    assert whole.probabilities == [1.0] and not whole.failures
    assert [failure.stage for failure in broken.failures] == ["vad"]


async def test_a_session_is_told_when_the_vad_is_away_for_longer_than_frames_can_wait() -> None:
    async def detect(jobs: list[VadJob]) -> list[VadAnswer]:
        raise EngineTimeout("vad", "no answer")

    listener = Listener(1)
    async with running(detect, listener) as batcher:
        for first in range(0, MOST - 63, 64):
            batcher.push(listener.stream, numbered(first, 64))
            await asyncio.sleep(0)
        assert not listener.failures
        for _ in range(2):
            batcher.push(listener.stream, numbered(0, 64))
        await done(listener)
    assert [failure.stage for failure in listener.failures] == ["vad"]


@pytest.mark.parametrize("sessions", [1, 100, 600])
async def test_all_sessions_catch_up_with_calls_that_serve_takes(sessions: int) -> None:
    """100 sessions that are 2 s behind are 12 MiB; Serve's gRPC takes 4."""
    sizes: list[int] = []

    async def detect(jobs: list[VadJob]) -> list[VadAnswer]:
        sizes.append(len(cloudpickle.dumps(jobs)))
        return [VadAnswer(job.row, job.frames[:, 0]) for job in jobs]

    behind = 64
    batcher = VoiceActivityBatcher(detect, Load())
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

    batcher, listener = VoiceActivityBatcher(detect, Load()), Listener(1)
    batcher.add(listener.stream)
    for _ in range(30):
        batcher.push(listener.stream, np.zeros(64 * FRAME_SAMPLES, dtype=np.float32))
    assert listener.failures and len(listener.stream.waiting) <= MOST + 64
