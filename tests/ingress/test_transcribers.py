"""The ingress's side of the pool; asyncio's futures stand in for Serve's responses."""

import asyncio

import numpy as np
import pytest
from ray.exceptions import ActorDiedError

from serve_app.errors import EngineError, EngineTimeout, EngineUnavailable
from serve_app.ingress.transcribers import TranscriberPool
from serve_app.settings.schema import SttSettings
from serve_app.stt.job import Heard, Request, Urgency

SECOND = np.zeros(16_000, dtype=np.float32)
TEXT = Heard("text", "en")
BUSY = EngineUnavailable("stt", "more is waiting than can be transcribed in time")


class Replicas:
    """Answers each call with the next of `answers`: a text, an error, or None for no answer."""

    def __init__(self, *answers: Heard | Exception | None) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []
        self.are_asked = asyncio.Event()
        self.calls: list[asyncio.Future[Heard]] = []

    def __call__(self, request: Request) -> "asyncio.Future[Heard]":
        call: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        answer = self.answers.pop(0)
        if isinstance(answer, Heard):
            call.set_result(answer)
        elif answer is not None:
            call.set_exception(answer)
        self.asked.append(request)
        self.calls.append(call)
        if not self.answers:
            self.are_asked.set()
        return call


def request(urgency: Urgency = Urgency.FINAL, due_in_s: float = 0.0) -> Request:
    return Request("session/1/1", SECOND, "", urgency, due_in_s)


def pool(to_ask: Replicas, **settings: float) -> TranscriberPool:
    return TranscriberPool(SttSettings.model_validate({"replicas": 2, **settings}), to_ask)


async def test_a_replica_that_dies_is_followed_by_another_with_the_same_samples() -> None:
    replicas = Replicas(ActorDiedError(), TEXT)
    assert await pool(replicas).transcribe(request()) == TEXT
    assert replicas.asked == [request(), request()]


async def test_what_the_engine_says_is_wrong_is_not_asked_again() -> None:
    replicas = Replicas(EngineError("stt", "an utterance of 31.0 s; at most 30 s"))
    with pytest.raises(EngineError, match="at most 30 s"):
        await pool(replicas).transcribe(request())
    assert len(replicas.asked) == 1


async def test_a_replica_that_hangs_is_overtaken_by_another() -> None:
    replicas = Replicas(None, TEXT)
    assert await pool(replicas, hedge_s=0.01).transcribe(request()) == TEXT
    await asyncio.sleep(0)
    assert replicas.calls[0].cancelled(), "nobody waits for it any longer"
    assert len({asked.key for asked in replicas.asked}) == 1, "a replica that has it does it once"


async def test_a_second_try_that_fails_leaves_the_first() -> None:
    replicas = Replicas(None, BUSY, BUSY)
    transcript = asyncio.create_task(pool(replicas, hedge_s=0.01).transcribe(request()))
    await replicas.are_asked.wait()
    replicas.calls[0].set_result(TEXT)
    assert await transcript == TEXT


async def test_one_replica_alone_is_not_asked_twice() -> None:
    replicas = Replicas(None)
    with pytest.raises(EngineTimeout, match=r"no answer within 0\.05 s"):
        await pool(replicas, replicas=1, hedge_s=0.01, timeout_s=0.05).transcribe(request())
    assert len(replicas.asked) == 1 and replicas.calls[0].cancelled()


async def test_a_speculative_request_that_was_refused_comes_again_as_final_when_it_is_due() -> None:
    replicas = Replicas(BUSY, BUSY, TEXT)
    guess = request(Urgency.SPECULATIVE, due_in_s=0.05)
    asked_at_s = asyncio.get_running_loop().time()
    assert await pool(replicas).transcribe(guess) == TEXT
    assert asyncio.get_running_loop().time() - asked_at_s >= 0.05
    assert replicas.asked[-1] == request(Urgency.FINAL)


async def test_a_partial_is_asked_for_once() -> None:
    replicas = Replicas(BUSY)
    with pytest.raises(EngineUnavailable):
        await pool(replicas).transcribe(request(Urgency.PARTIAL))
    assert len(replicas.asked) == 1


async def test_a_file_that_waits_is_not_asked_for_twice_and_stays_a_file() -> None:
    replicas = Replicas(BUSY, BUSY, None)
    of_a_file = request(Urgency.FILE)
    to_ask = pool(replicas, hedge_s=0.01, timeout_s=0.8)
    with pytest.raises(EngineTimeout):
        await to_ask.transcribe(of_a_file)
    assert replicas.asked == [of_a_file] * 3


async def test_a_caller_that_leaves_cancels_its_calls() -> None:
    replicas = Replicas(None, None)
    transcript = asyncio.create_task(pool(replicas, hedge_s=0.01).transcribe(request()))
    await replicas.are_asked.wait()
    transcript.cancel()
    with pytest.raises(asyncio.CancelledError):
        await transcript
    await asyncio.sleep(0)
    assert all(call.cancelled() for call in replicas.calls)
