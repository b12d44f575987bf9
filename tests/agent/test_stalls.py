"""An agent that was stopped (SIGSTOP) for a while: deadlines pass that nobody could meet."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from serve_app.agent.speaker import Speaker
from serve_app.agent.stalls import Stalls
from serve_app.conversation.history import ChatMessage
from serve_app.errors import EngineError, EngineRefused, EngineTimeout, EngineUnavailable
from tests.agent.chains import FORMAT

STOPPED_S = 2.5


class SlowLlm:
    """Does not answer within its deadline."""

    def __init__(self, error: EngineError) -> None:
        self._error = error

    async def stream(self, chat: Sequence[ChatMessage]) -> AsyncGenerator[str, None]:
        try:
            async with asyncio.timeout(1.0):
                await asyncio.Event().wait()
                yield "never"
        except TimeoutError:
            raise self._error from None


class Mute:
    """Voices that say nothing."""

    async def speak(self, text: Any, *_: object) -> AsyncGenerator[Any, None]:
        await asyncio.Event().wait()
        yield None


async def failure(error: EngineError, stopped_s: float) -> EngineError:
    """What a reply fails with when the process stands still in the middle of it."""
    stalls = Stalls()
    watch = asyncio.create_task(stalls.watch())
    llm, voices = SlowLlm(error), Mute()
    speaker = Speaker(llm, voices, FORMAT, stalls=stalls)  # type: ignore[arg-type]
    asyncio.get_running_loop().call_later(0.3, time.sleep, stopped_s)
    with pytest.raises(EngineError) as raised:
        async for _ in speaker.reply([]):
            pass
    watch.cancel()
    return raised.value


async def test_what_fails_because_the_process_stood_still_may_be_tried_again() -> None:
    """The ingress asks another agent, or this one again, only for an error of the agent."""
    error = await failure(EngineTimeout("llm", "no text within 1 s"), STOPPED_S)
    assert isinstance(error, EngineUnavailable) and error.stage == "agent"


async def test_what_fails_by_itself_does_not() -> None:
    error = await failure(EngineTimeout("llm", "no text within 1 s"), 0.0)
    assert error.stage == "llm"


async def test_what_would_fail_again_is_not_excused() -> None:
    error = await failure(EngineRefused("llm", "HTTP 401"), STOPPED_S)
    assert error.stage == "llm"


def test_a_stall_before_the_reply_does_not_count() -> None:
    now_s = 100.0
    stalls = Stalls(lambda: now_s)
    stalls._ended_at_s = 50.0
    late = EngineTimeout("llm", "no text within 10 s")
    assert stalls.excused(late, 60.0) is late
    assert stalls.excused(late, 40.0) is not late
