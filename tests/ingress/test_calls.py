"""Calls that end in unusual ways; asyncio's futures stand in for Serve's responses."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from ray.exceptions import ActorDiedError, RayTaskError

from serve_app.errors import DraftDeclined, EngineError, EngineTimeout, EngineUnavailable
from serve_app.ingress.calls import Calls, _longest_silence_s
from serve_app.ingress.handle_calls import ask_within, engine_error
from serve_app.settings.schema import AgentSettings, AppConfig


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
        calls = Calls(config, vad, stt=AsyncMock(), agent=vad)
        assert await calls.detect("frames") == "voice"  # type: ignore[arg-type, comparison-overlap]
    assert asked == ["frames"] * 5
    assert all(future.cancelled() for future in hanging)


async def test_no_answer_in_time_is_a_timeout() -> None:
    pending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with pytest.raises(EngineTimeout):
        await ask_within("stt", 0.01, lambda: pending)
    assert pending.cancelled()


def test_a_declined_draft_comes_through_as_what_it_is() -> None:
    declined = RayTaskError("reply", "Traceback", DraftDeclined("the reply needs a tool"))
    assert isinstance(engine_error("agent", declined.as_instanceof_cause()), DraftDeclined)
    broken = RayTaskError("reply", "Traceback", ZeroDivisionError("secret"))
    error = engine_error("agent", broken.as_instanceof_cause())
    assert isinstance(error, EngineError)
    assert error.message == "ZeroDivisionError"


def test_a_reply_that_uses_tools_may_be_silent_for_longer() -> None:
    plain = AgentSettings()
    tool = {"name": "t", "description": "d", "parameters": {"type": "object"}, "python": "a:b"}
    with_tools = AgentSettings.model_validate({"tools": [tool]})
    use, first_s = plain.tool_use, plain.llm.first_token_timeout_s
    longer_s = _longest_silence_s(with_tools) - _longest_silence_s(plain)
    assert longer_s == use.max_steps * (first_s + use.timeout_s)


def test_every_engine_of_a_chain_may_be_waited_for() -> None:
    chains = {
        "llm_fallbacks": [{"provider": "local", "first_token_timeout_s": 3}],
        "tts_fallbacks": [{"provider": "local", "first_audio_timeout_s": 4}],
    }
    longer_s = _longest_silence_s(AgentSettings.model_validate(chains))
    assert longer_s == _longest_silence_s(AgentSettings()) + 3 + 4
