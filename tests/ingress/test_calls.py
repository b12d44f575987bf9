"""Calls that end in unusual ways; asyncio's futures stand in for Serve's responses."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock, Mock

import numpy as np
import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from ray.exceptions import ActorDiedError, RayTaskError

from bench.virtual_time import now_s, run
from serve_app.agent.parts import Began
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.piece import Piece
from serve_app.conversation.sound import ANY_SOUND
from serve_app.errors import DraftDeclined, EngineError, EngineTimeout, EngineUnavailable
from serve_app.ingress.calls import Calls, _longest_silence_s
from serve_app.ingress.handle_calls import ask_within, engine_error, hedged
from serve_app.ingress.load import Load
from serve_app.ingress.work import Work
from serve_app.settings.agent import AgentSettings
from serve_app.settings.schema import AppConfig


def cancelled() -> "asyncio.Future[str]":
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.cancel()
    return future


def answered(text: str) -> "asyncio.Future[str]":
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.set_result(text)
    return future


def failed(error: Exception) -> "asyncio.Future[str]":
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future


async def test_a_call_that_serve_cancelled_is_made_again() -> None:
    responses = [cancelled(), answered("yes")]
    assert await ask_within("vad", 5, lambda: responses.pop(0)) == "yes"


async def test_a_call_that_is_cancelled_twice_is_an_error_and_not_our_own_end() -> None:
    with pytest.raises(EngineUnavailable):
        await ask_within("vad", 5, cancelled)


async def test_a_caller_that_is_cancelled_cancels_its_call() -> None:
    pending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    started = asyncio.Event()

    def call() -> "asyncio.Future[str]":
        started.set()
        return pending

    caller: asyncio.Task[str] = asyncio.create_task(ask_within("stt", 5, call))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert pending.cancelled()


@pytest.mark.parametrize(
    "error",
    [
        AioRpcError(StatusCode.RESOURCE_EXHAUSTED, Metadata(), Metadata(), "larger than max"),
        RuntimeError("Unexpected error"),
    ],
    ids=["too large for grpc", "unexpected"],
)
async def test_whatever_serve_raises_is_an_error_of_the_stage(error: Exception) -> None:
    """Otherwise it would end the loop that detects voice for all sessions."""
    with pytest.raises(EngineError, match=type(error).__name__):
        await ask_within("vad", 5, lambda: failed(error))


async def test_frames_go_to_another_vad_when_one_dies_or_hangs() -> None:
    """The same frames with the same state: no session notices."""
    loop = asyncio.get_running_loop()
    hanging: list[asyncio.Future[str]] = [loop.create_future(), loop.create_future()]
    dead: asyncio.Future[str] = loop.create_future()
    dead.set_exception(ActorDiedError())
    asked: list[str] = []

    class Vad:
        """Stands in for a handle. Serve may choose the replica that hangs twice."""

        def __init__(self, answers: "list[asyncio.Future[str]]") -> None:
            self.detect, self.remote, self._answers = self, self._remote, answers

        def options(self, **_: object) -> "Vad":
            return self

        def _remote(self, jobs: str) -> "asyncio.Future[str]":
            asked.append(jobs)
            return self._answers.pop(0)

    config = AppConfig.model_validate({"vad": {"replicas": 2, "hedge_s": 0.01}})
    for answers in ([*hanging, answered("voice")], [dead, answered("voice")]):
        vad: Any = Vad(answers)
        calls = Calls(config, vad, stt=AsyncMock(), agent=vad, load=Load())
        assert await calls.detect("frames") == "voice"  # type: ignore[arg-type, comparison-overlap]
    assert asked == ["frames"] * 5
    assert all(future.cancelled() for future in hanging)


def test_the_pauses_between_hedged_calls_grow() -> None:
    """Where all replicas are slow, each further call makes them slower."""
    asked_at_s: list[float] = []

    async def ask() -> str:
        asked_at_s.append(now_s())
        await asyncio.sleep(20.0)
        return "late"

    assert run(hedged(ask, 0.5)) == "late"
    assert asked_at_s == [0.0, 0.5, 1.5, 3.5]


async def test_no_answer_in_time_is_a_timeout() -> None:
    pending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with pytest.raises(EngineTimeout):
        await ask_within("stt", 0.01, lambda: pending)
    assert pending.cancelled()


class Parts:
    """In the place of Serve's streaming response: what it gives, then an error or silence."""

    def __init__(self, *parts: Began | Piece, ending: BaseException | None = None) -> None:
        self._parts, self._ending = list(parts), ending
        self.is_cancelled = False

    async def __anext__(self) -> Began | Piece:
        if self._parts:
            return self._parts.pop(0)
        if self._ending is None:
            await asyncio.Event().wait()
        assert self._ending is not None
        raise self._ending

    def cancel(self) -> None:
        self.is_cancelled = True


def agent(response: Parts, timeout_s: float = 5.0) -> Calls:
    """Calls whose agent answers each request with `response`."""
    handle: Any = Mock()
    handle.options.return_value = handle
    handle.reply.remote.return_value = handle.say.remote.return_value = response
    config = AppConfig.model_validate({"agent": {"draft_replies": 1, "replicas": 1}})
    calls = Calls(config, AsyncMock(), AsyncMock(), handle, Load())
    calls._part_timeout_s = timeout_s
    return calls


DECLINED = RayTaskError("reply", "Traceback", DraftDeclined("the reply needs a tool"))


@pytest.mark.parametrize(
    ("ending", "raised"),
    [
        (None, EngineTimeout),
        (ActorDiedError(), EngineUnavailable),
        (DECLINED.as_instanceof_cause(), DraftDeclined),
        (RuntimeError("Unexpected error"), EngineError),
        (asyncio.CancelledError(), EngineUnavailable),
    ],
    ids=["silence", "death", "declined", "unexpected", "cancelled by Serve"],
)
async def test_a_reply_gives_its_parts_and_then_its_error(
    ending: BaseException | None, raised: type[Exception]
) -> None:
    piece = Piece(b"", "Hm.", 0.0)
    call = agent(Parts(Began(), piece, ending=ending), 0.01).say("Hm.", ANY_SOUND)
    assert [await call.next(), await call.next()] == [Began(), piece]
    with pytest.raises(raised):
        await call.next()


async def test_a_reply_has_an_end() -> None:
    call = agent(Parts(Began(), ending=StopAsyncIteration())).reply([], ANY_SOUND, False)
    assert [await call.next(), await call.next()] == [Began(), None]


async def test_an_ingress_is_busy_until_its_replies_have_ended() -> None:
    response = Parts()
    calls = agent(response)
    call = calls.reply([], ANY_SOUND, False)
    assert calls.is_busy
    call.cancel()
    assert response.is_cancelled
    assert not calls.is_busy
    call.cancel()  # safe to repeat


@pytest.mark.parametrize("kind", [ef.Reply(1, 1, ()), ef.Say(1, 1, "Hm.")])
async def test_a_reply_that_is_cancelled_is_cancelled_over_there(kind: ef.Reply | ef.Say) -> None:
    response, events = Parts(Began()), asyncio.Queue[ev.Event]()
    calls = agent(response)
    work = Work("s", calls, events.put_nowait, Mock())
    work.start(kind)
    async with asyncio.timeout(5):
        assert await events.get() == ev.ReplyBegan(1, 1)
    work.cancel(ef.Cancel(1))
    await asyncio.gather(*work.tasks, return_exceptions=True)
    assert response.is_cancelled and not calls.is_busy and events.empty()


@pytest.mark.parametrize("kind", [ef.Reply(1, 1, ()), ef.Say(1, 1, "Hm.")])
async def test_a_reply_that_is_cancelled_at_once_is_not_asked_for(kind: ef.Reply | ef.Say) -> None:
    calls = agent(Parts())
    work = Work("s", calls, Mock(), Mock())
    work.start(kind)
    work.cancel(ef.CancelReply(1, 1))
    await asyncio.gather(*work.tasks, return_exceptions=True)
    assert not calls.is_busy


async def test_an_error_that_nobody_has_thought_of_is_told() -> None:
    """It was left to asyncio, which logs its text, and the turn waited for nothing."""
    calls, failed = Mock(), asyncio.Queue[BaseException]()
    calls.sheds.side_effect = ZeroDivisionError("what was said")
    work = Work("s", calls, Mock(), failed.put_nowait)
    work.start(ef.JudgeTurn(1, 1, np.zeros(512, dtype=np.float32)))
    async with asyncio.timeout(5):
        assert isinstance(await failed.get(), ZeroDivisionError)
    assert not work.tasks


def test_a_declined_draft_comes_through_as_what_it_is() -> None:
    assert isinstance(engine_error("agent", DECLINED.as_instanceof_cause()), DraftDeclined)
    broken = RayTaskError("reply", "Traceback", ZeroDivisionError("secret"))
    error = engine_error("agent", broken.as_instanceof_cause())
    assert isinstance(error, EngineError)
    assert error.message == "ZeroDivisionError"


def test_a_reply_that_uses_tools_may_be_silent_for_longer() -> None:
    plain = AgentSettings()
    tool = {"name": "t", "description": "d", "parameters": {"type": "object"}, "python": "a:b"}
    with_tools = AgentSettings.model_validate({"tools": [tool]})
    use, first_s = plain.tool_use, plain.llm.longest_silence_s
    longer_s = _longest_silence_s(with_tools) - _longest_silence_s(plain)
    assert longer_s == use.max_steps * (first_s + use.timeout_s)


def test_every_engine_of_a_chain_may_be_waited_for() -> None:
    chains = {
        "llm_fallbacks": [{"provider": "local", "first_token_timeout_s": 3}],
        "tts_fallbacks": [{"provider": "local", "first_audio_timeout_s": 4}],
    }
    longer_s = _longest_silence_s(AgentSettings.model_validate(chains))
    assert longer_s == _longest_silence_s(AgentSettings()) + 3 + 4
