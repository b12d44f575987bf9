"""Answers that take too long: speculation stops first, then nobody new is let in, and both come
back. In virtual time: the transcriber and the agent are as slow as the test says."""

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from bench.virtual_time import now_s, run
from serve_app.agent.parts import Began
from serve_app.conversation.sound import ANY_SOUND
from serve_app.errors import AtCapacity
from serve_app.ingress.calls import Calls
from serve_app.ingress.delays import Budget, Delays, Strain, Waits
from serve_app.ingress.load import Load, Shed
from serve_app.settings.limits import DelayBudgets
from serve_app.settings.schema import AppConfig
from serve_app.stt.job import Heard, Request, Urgency

BUDGETS = DelayBudgets()
SAMPLES = np.zeros(16_000, dtype=np.float32)


# --- the prediction ---


def after(*waits_s: float) -> Waits:
    """Answers that came one after the other, each at the end of its wait."""
    waits, now = Waits(), 0.0
    for who, wait_s in enumerate(waits_s):
        waits.begin(who, now)
        now += wait_s
        waits.end(who, now)
    return waits


def test_few_answers_tell_nothing() -> None:
    """A single user of a slow provider is not kept out by their own last answer."""
    assert (
        after().predicted_s(0) == after(9.0).predicted_s(9) == after(9.0, 9.0).predicted_s(18) == 0
    )


def test_the_median_is_predicted() -> None:
    assert after(1.0, 1.0, 20.0).predicted_s(22) == 1.0
    assert after(1.0, 8.0, 9.0).predicted_s(18) == 8.0


def test_what_is_still_waited_for_counts_as_soon_as_it_is_longer() -> None:
    """Of a transcriber that has died, no answer would ever tell."""
    waits = after(0.1, 0.1, 0.1)
    for who in range(10, 14):
        waits.begin(who, 1.0)
    assert waits.predicted_s(1.05) == 0.1
    assert waits.predicted_s(4.0) == 3.0
    for who in range(10, 14):
        waits.drop(who)
    assert waits.predicted_s(4.0) == 0.1


def test_what_is_not_due_yet_is_not_late() -> None:
    waits = Waits()
    for who in range(3):
        waits.begin(who, 10.4)
        waits.end(who, 10.1)
    assert waits.predicted_s(10.1) == 0


def test_an_old_answer_says_nothing_of_the_next_one() -> None:
    waits = after(5.0, 5.0, 5.0)
    assert waits.predicted_s(16.0) == 5.0 and waits.predicted_s(60.0) == 0


def test_the_worse_wait_counts() -> None:
    delays = Delays(Budget(1, 2), Budget(3, 6))
    for waits, seconds in ((delays.transcripts, 1.5), (delays.first_audio, 7.0)):
        for who in range(3):
            waits.begin(who, 10.0 - seconds)
            waits.end(who, 10.0)
        expected = Strain.NO_NEW_SESSIONS if seconds == 7 else Strain.NO_SPECULATION
        assert delays.strain(10.0) is expected
    assert delays.hint(10.0) == "answers take 7 s now: try again in 30 s"


# --- what is done about it ---


class Agent:
    """Streams a word and a piece of audio, after as long as it is told."""

    def __init__(self, delay_s: Callable[[], float]) -> None:
        self._delay_s = delay_s

    def options(self, **_: Any) -> "Agent":
        return self

    @property
    def reply(self) -> Any:
        return Mock(remote=lambda *_: Stream(self._delay_s()))


class Stream:
    def __init__(self, delay_s: float) -> None:
        self._parts: list[tuple[float, Any]] = [(0.0, Began()), (delay_s, "audio")]

    async def __anext__(self) -> Any:
        if not self._parts:
            raise StopAsyncIteration
        delay_s, part = self._parts.pop(0)
        await asyncio.sleep(delay_s)
        return part

    def cancel(self) -> None:
        pass


class Server:
    """Users who talk, and what they would find at each moment."""

    def __init__(self, stt_s: Callable[[], float], agent_s: Callable[[], float]) -> None:
        stt = Mock()
        stt.transcribe.remote = lambda _: asyncio.sleep(stt_s(), Heard("text", "en"))
        self.calls = Calls(AppConfig(), Mock(), stt, Agent(agent_s), Load())  # type: ignore[arg-type]
        self.seen: list[tuple[float, bool, bool]] = []

    async def watch(self, seconds: float) -> None:
        while now_s() < seconds:
            try:
                self.calls.admit()
                is_open = True
            except AtCapacity:
                is_open = False
            self.seen.append((now_s(), self.calls.sheds(Shed.DRAFTS), is_open))
            await asyncio.sleep(0.5)

    async def talk(self, seconds: float) -> None:
        number = 0
        while now_s() < seconds:
            number += 1
            await self.calls.transcribe(Request(f"{id(self)}{number}", SAMPLES, "", Urgency.FINAL))
            reply = self.calls.reply([], ANY_SOUND, is_draft=False)
            while await reply.next() is not None:
                pass
            reply.cancel()
            await asyncio.sleep(1.0)

    async def go(self, seconds: float) -> None:
        await asyncio.gather(self.watch(seconds), *(self.talk(seconds - 40) for _ in range(6)))


def slow_from_20_to_60(slow_s: float) -> Callable[[], float]:
    return lambda: slow_s if 20 <= now_s() < 60 else 0.1


@pytest.mark.parametrize(
    ("stt_s", "agent_s"), [(6.0, 0.1), (0.1, 13.0)], ids=["transcripts", "first audio"]
)
def test_speculation_stops_before_sessions_are_refused_and_both_come_back(
    stt_s: float, agent_s: float
) -> None:
    server = Server(slow_from_20_to_60(stt_s), slow_from_20_to_60(agent_s))
    run(server.go(140))
    shed_at = [at for at, sheds, _ in server.seen if sheds]
    refused_at = [at for at, _, is_open in server.seen if not is_open]
    assert shed_at and refused_at and 20 < shed_at[0] < refused_at[0]
    assert set(refused_at) <= set(shed_at), "drafts are the first to go and the last to come back"
    assert shed_at[-1] < 60 + max(stt_s, agent_s) + 31


def test_judgements_are_not_speculation() -> None:
    server = Server(lambda: 6.0, lambda: 0.1)

    async def main() -> None:
        await asyncio.gather(*(server.talk(20) for _ in range(6)))
        assert server.calls.sheds(Shed.PARTIALS) and server.calls.sheds(Shed.DRAFTS)
        assert not server.calls.sheds(Shed.JUDGEMENTS)

    run(main())


def test_a_server_at_ease_sheds_nothing_and_is_open() -> None:
    server = Server(lambda: 0.3, lambda: 1.5)
    run(server.go(120))
    assert not any(sheds for _, sheds, _ in server.seen)
    assert all(is_open for *_, is_open in server.seen)


def test_partials_files_and_drafts_do_not_count_as_waits() -> None:
    """They come first when all is well, and are left to wait when it is not."""
    server = Server(lambda: 6.0, lambda: 13.0)

    async def main() -> None:
        for number in range(5):
            for urgency in (Urgency.PARTIAL, Urgency.FILE):
                await server.calls.transcribe(Request(str(number), SAMPLES, "", urgency))
            draft = server.calls.reply([], ANY_SOUND, is_draft=True)
            while await draft.next() is not None:
                pass
            draft.cancel()
        server.calls.admit()
        assert not server.calls.sheds(Shed.PARTIALS)

    run(main())
