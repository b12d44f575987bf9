"""The only replica of a stage is away for up to 30 s, or for good: what a session does meanwhile.
In virtual time; futures stand in for Serve's responses. tests/serve/test_outages.py does the same
with real processes."""

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError

from bench.virtual_time import now_s, run
from serve_app.agent.parts import Began, ReplyPart
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.piece import Piece
from serve_app.errors import EngineError, EngineTimeout, EngineUnavailable
from serve_app.ingress.calls import Calls
from serve_app.ingress.load import Load
from serve_app.ingress.transcribers import TranscriberPool
from serve_app.ingress.work import Work
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import AppConfig, SttSettings
from serve_app.stt.job import Heard, Request, Urgency

OUTAGE_S = 30.0
FOR_EVER_S = 1e6
SAMPLES = np.zeros(16_000, dtype=np.float32)
PIECE = Piece(b"\0\0", "Yes.", 0.1)
FULL = EngineUnavailable("stt", "more is waiting than can be transcribed in time")
UNAVAILABLE = ActorUnavailableError("Actor is unavailable.", b"x" * 16)


def stopped(until_s: float, answer: object) -> "asyncio.Future[object]":
    """A call to a replica that is stopped (SIGSTOP) until then."""
    loop = asyncio.get_running_loop()
    response: asyncio.Future[object] = loop.create_future()
    loop.call_at(until_s, lambda: response.done() or response.set_result(answer))
    return response


def failing(until_s: float, error: Exception, answer: object) -> "asyncio.Future[object]":
    """A call that fails at once until then."""
    response: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    if now_s() < until_s:
        response.set_exception(error)
    else:
        response.set_result(answer)
    return response


def dies(until_s: float, answer: object) -> "asyncio.Future[object]":
    return failing(until_s, ActorDiedError(), answer)


def is_full(until_s: float, answer: object) -> "asyncio.Future[object]":
    return failing(until_s, FULL, answer)


# --- the transcriber ---


def transcriber(call: Callable[[Request], Any]) -> TranscriberPool:
    return TranscriberPool(SttSettings(), call)


@pytest.mark.parametrize("away", [stopped, dies, is_full])
@pytest.mark.parametrize("urgency", [Urgency.FINAL, Urgency.SPECULATIVE])
def test_the_samples_are_kept_while_the_only_transcriber_is_away(
    away: Callable[[float, str], Any], urgency: Urgency
) -> None:
    asked: list[Request] = []

    async def main() -> tuple[Heard, float]:
        def call(request: Request) -> Any:
            asked.append(request)
            return away(OUTAGE_S, Heard("text"))

        request = Request("session/1/1", SAMPLES, "", urgency, 0.4)
        return await transcriber(call).transcribe(request), now_s()

    heard, at_s = run(main())
    assert heard.text == "text" and OUTAGE_S <= at_s <= OUTAGE_S + 1
    assert all(request.samples is SAMPLES for request in asked)
    assert len(asked) < 200, "a replica that is busy is not asked all the time"


@pytest.mark.parametrize("away", [stopped, dies, is_full])
def test_a_transcriber_that_stays_away_is_an_error_in_the_end(
    away: Callable[[float, str], Any],
) -> None:
    async def main() -> float:
        with pytest.raises(EngineTimeout):
            call = transcriber(lambda request: away(FOR_EVER_S, "text"))
            await call.transcribe(Request("session/1/1", SAMPLES))
        return now_s()

    assert OUTAGE_S <= run(main()) <= OUTAGE_S + 10


def test_what_a_transcriber_refuses_for_good_is_an_error_at_once() -> None:
    async def main() -> float:
        error = EngineError("stt", "an utterance of 31.0 s; at most 30 s")
        with pytest.raises(EngineError, match="at most 30 s"):
            call = transcriber(lambda request: failing(FOR_EVER_S, error, ""))
            await call.transcribe(Request("session/1/1", SAMPLES))
        return now_s()

    assert run(main()) == 0


def test_a_partial_does_not_wait_for_a_transcriber() -> None:
    async def main() -> float:
        with pytest.raises(EngineUnavailable):
            request = Request("session/1/1", SAMPLES, "", Urgency.PARTIAL)
            await transcriber(lambda request: dies(OUTAGE_S, "")).transcribe(request)
        return now_s()

    assert run(main()) == 0


# --- the agent ---


class Agent:
    """In the place of the agent's handle. Until `back_s` each call ends in `error`, or hangs if
    that is None; calls that are made then, and those that hang, give `parts`."""

    def __init__(self, back_s: float, error: Exception | None, *parts: ReplyPart) -> None:
        self.reply = self.say = self
        self._back_s, self._error, self._parts = back_s, error, parts
        self.calls: list[Response] = []

    def options(self, **_: object) -> "Agent":
        return self

    def remote(self, *_: object) -> "Response":
        self.calls.append(Response(self._back_s, self._error, *self._parts))
        return self.calls[-1]


class Response:
    def __init__(self, back_s: float, error: Exception | None, *parts: ReplyPart) -> None:
        self._back_s, self._error, self._parts = back_s, error, list(parts)
        self.is_cancelled = False

    async def __anext__(self) -> ReplyPart:
        if now_s() < self._back_s:
            if self._error is not None:
                raise self._error
            await asyncio.sleep(self._back_s - now_s())
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop(0)

    def cancel(self) -> None:
        self.is_cancelled = True


def work_with(agent: Any) -> tuple[Work, list[tuple[float, ev.Event]]]:
    taken: list[tuple[float, ev.Event]] = []
    calls = Calls(resolve(AppConfig(), {}, gpus=0), Mock(), Mock(), agent, Load())
    return Work("session", calls, lambda event: taken.append((now_s(), event)), Mock()), taken


async def ended(work: Work) -> None:
    while work.tasks:
        await asyncio.wait(work.tasks)
        await asyncio.sleep(0)


@pytest.mark.parametrize("error", [None, ActorDiedError(), UNAVAILABLE])
@pytest.mark.parametrize("asked", [ef.Reply(1, 1, ()), ef.Say(1, 1, "Yes.")])
def test_a_reply_waits_for_the_only_agent(
    error: Exception | None, asked: ef.Reply | ef.Say
) -> None:
    agent = Agent(OUTAGE_S, error, Began(), PIECE)

    async def main() -> list[tuple[float, ev.Event]]:
        work, taken = work_with(agent)
        work.start(asked)
        await ended(work)
        return taken

    taken = run(main())
    assert [event for _, event in taken] == [
        ev.ReplyBegan(1, 1),
        ev.ReplyAudio(1, 1, PIECE),
        ev.ReplyEnded(1, 1),
    ]
    assert OUTAGE_S <= taken[0][0] <= OUTAGE_S + 1
    assert all(call.is_cancelled for call in agent.calls)


@pytest.mark.parametrize("error", [None, ActorDiedError()])
def test_an_agent_that_stays_away_is_an_error_in_the_end(error: Exception | None) -> None:
    """What follows in the same turn (a second try, an apology) does not wait as long again."""

    async def main() -> tuple[float, float]:
        work, taken = work_with(Agent(FOR_EVER_S, error))
        for reply in (1, 2):
            work.start(ef.Reply(1, reply, ()))
            await ended(work)
        (first_s, first), (second_s, second) = taken
        assert isinstance(first, ev.ReplyFailed) and isinstance(second, ev.ReplyFailed)
        return first_s, second_s

    first_s, second_s = run(main())
    assert OUTAGE_S <= first_s <= OUTAGE_S + 10
    assert second_s - first_s <= 5


def test_the_next_turn_waits_for_an_agent_again() -> None:
    async def main() -> ev.Event:
        work, taken = work_with(Agent(2 * OUTAGE_S, None, Began()))
        for turn in (1, 2):
            work.start(ef.Reply(turn, turn, ()))
            await ended(work)
        return taken[-1][1]

    assert run(main()) == ev.ReplyEnded(2, 2)


def test_a_newer_utterance_ends_the_wait() -> None:
    agent = Agent(FOR_EVER_S, ActorDiedError())

    async def main() -> float:
        work, taken = work_with(agent)
        work.start(ef.Reply(1, 1, ()))
        await asyncio.sleep(3)
        work.cancel(ef.Cancel(1))
        await ended(work)
        assert not taken
        return now_s()

    assert run(main()) == 3
    assert agent.calls[-1].is_cancelled
