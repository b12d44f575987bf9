"""Calls that end in unusual ways; asyncio's own futures stand for Serve's responses."""

import asyncio

import pytest

from serve_app.errors import EngineTimeout, EngineUnavailable
from serve_app.handle_calls import ask_within


def cancelled() -> "asyncio.Future[str]":
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.cancel()
    return future


def answered(text: str) -> "asyncio.Future[str]":
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.set_result(text)
    return future


async def test_a_call_that_was_cancelled_over_there_is_made_again() -> None:
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


async def test_no_answer_in_time_is_a_timeout() -> None:
    pending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with pytest.raises(EngineTimeout):
        await ask_within("stt", 0.01, lambda: pending)
    assert pending.cancelled()
