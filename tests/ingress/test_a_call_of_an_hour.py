"""A call of one hour in virtual time, through the whole ingress: whatever lives as long as a call
is as large at the end as it was after ten minutes."""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, cycle
from random import Random
from typing import Any

import pytest

from bench.virtual_call import Client, Heard
from bench.virtual_ingress import Ingress
from bench.virtual_luck import Luck
from bench.virtual_replicas import Speech
from bench.virtual_size import held_bytes
from bench.virtual_time import run
from serve_app.conversation.budget import tokens
from serve_app.conversation.events import Timer
from serve_app.conversation.settings import TurnSettings

_HISTORY_TOKENS = 1000
"""Reached within ten minutes: the history does not count as growth after that."""
_MINUTES = (10, 20, 30, 40, 50, 60)
_RESUMES_UNTIL_S = 9.5 * 60
"""From then on one socket lives, until the last ten minutes."""
_RESUMES_AGAIN_S = 50.5 * 60
_CHUNK_FRAMES = 8
_SPARE_BYTES = 16_384
"""By so much the messages that fit into the budget differ, and by 10 %."""
_SPARE_OBJECTS = 2000

pytestmark = pytest.mark.timeout(300)
_SETTINGS = TurnSettings(history_tokens=_HISTORY_TOKENS, idle_prompt_ms=6000)


@dataclass(frozen=True)
class Look:
    """What there is when nobody has the floor."""

    session_bytes: int
    """Driver with conversation, audio, socket, calls; lease, batcher; the actor's store."""
    entry_bytes: int
    history_tokens: int
    """Of the stored history."""
    objects: int
    """Of the whole process, all that Python's garbage collector knows."""
    tasks: int
    timers: set[Timer]
    calls: int
    """That the session waits for."""
    frames: int
    """That wait for the VAD."""
    outbox: int


class Call:
    """One hour of a user who does all that users do."""

    def __init__(self) -> None:
        self._random = Random(1)
        self._speech = Speech()
        luck = Luck(self._random, share=0.0)
        self._ingress = Ingress(self._random, luck, self._speech, _SETTINGS)
        self._client = Client(self._ingress, self._speech, _CHUNK_FRAMES)
        self._words = count(1)
        self.did: Counter[str] = Counter()
        self.looks: list[Look] = []

    @property
    def heard(self) -> Heard:
        return self._client.heard

    async def run(self) -> "Call":
        await self._client.open(greeting="Hello.")
        loop = asyncio.get_running_loop()
        steps = cycle(self._steps)
        for minute in _MINUTES:
            while loop.time() < minute * 60 - 20:
                await next(steps)()
                await asyncio.sleep(self._random.choice([0.5, 1.0, 2.0]))
            await self._rest()
            self.looks.append(self._look())
        self._client.close()
        await asyncio.sleep(10.0)
        await self._client.gone()
        await self._ingress.close()
        return self

    @property
    def _steps(self) -> list[Callable[[], Any]]:
        ask, answer = self._ask, self._hear_out
        return [
            *[ask, answer] * 3,
            *[self._type, answer],
            *[ask, self._interrupt, answer],
            *[ask, self._say_yeah, answer],
            *[self._ask_at_length, answer],
            self._be_silent,
            *[self._type, self._press_stop],
            *[ask, self._lose_socket, answer],
        ]

    async def _ask(self, words: int = 6) -> None:
        self.did["speech"] += 1
        for _ in range(words):
            self._say(f"word{next(self._words)}")
        while self._client.plan:  # noqa: ASYNC110 - it is a clock
            await asyncio.sleep(0.1)

    async def _ask_at_length(self) -> None:
        self.did["monologue"] += 1
        await self._ask(words=self._random.choice([30, 120]))

    def _say(self, word: str) -> None:
        frames = [(True, None)] * 8
        self._client.plan.extend([*frames[:4], (True, word), *frames[4:]])

    async def _hear_out(self) -> None:
        await asyncio.sleep(3.0)

    async def _type(self) -> None:
        self.did["text"] += 1
        self._client.type(f"This is text number {self.did['text']}, which was typed.")
        await asyncio.sleep(1.5)

    async def _interrupt(self) -> None:
        self.did["barge-in"] += 1
        await asyncio.sleep(2.0)
        await self._ask(words=3)

    async def _say_yeah(self) -> None:
        self.did["backchannel"] += 1
        await asyncio.sleep(2.0)
        self._say("yeah")

    async def _be_silent(self) -> None:
        """Until the agent asks whether anybody is there."""
        self.did["silence"] += 1
        await asyncio.sleep(12.0)

    async def _press_stop(self) -> None:
        self.did["button"] += 1
        self._client.press_stop()

    async def _lose_socket(self) -> None:
        if not _RESUMES_UNTIL_S < asyncio.get_running_loop().time() < _RESUMES_AGAIN_S:
            self.did["resume"] += 1
            await asyncio.sleep(2.0)
            self._client.lose_socket()

    async def _rest(self) -> None:
        """Until nothing is under way. The first seconds are for what was said last."""
        await asyncio.sleep(15.0)
        while self.heard.state != "waiting" or not self._client.is_ready:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        self._speech.forget()

    def _look(self) -> Look:
        driver, services = self._client.driver, self._ingress.services
        store = self._ingress.actors.store
        (entry,) = store.entries.values()
        gc.collect()
        return Look(
            session_bytes=held_bytes([driver, services, store]),
            entry_bytes=held_bytes([entry]),
            history_tokens=tokens(entry.record.history),
            objects=len(gc.get_objects()),
            tasks=len(asyncio.all_tasks()),
            timers=set(driver._timers._armed),
            calls=len(driver._work.tasks),
            frames=len(driver._voice.waiting),
            outbox=driver._socket._outbox.size,
        )


@pytest.fixture(scope="module")
def call() -> Call:
    return run(_hour())


async def _hour() -> Call:
    return await Call().run()


def test_the_hour_has_everything_that_calls_have(call: Call) -> None:
    heard = call.heard
    assert min(call.did.values()) >= 5, call.did
    assert heard.turns["user"] > 300 and heard.turns["agent"] > 300, heard.turns
    assert heard.resumes == call.did["resume"] > 5
    assert (heard.errors, heard.stale_chunks, heard.gaps) == ([], 0, 0)
    assert set(heard.close_codes) <= {1000}
    assert call.looks[0].history_tokens > 0.8 * _HISTORY_TOKENS, "the budget is used up"


def test_what_a_session_holds_after_an_hour_is_what_it_held_after_ten_minutes(call: Call) -> None:
    first, *later = call.looks
    for look in later:
        assert look.session_bytes < 1.1 * first.session_bytes + _SPARE_BYTES, call.looks
        assert look.entry_bytes < 1.1 * first.entry_bytes + _SPARE_BYTES, call.looks
        assert look.history_tokens <= 1.1 * _HISTORY_TOKENS
        assert look.objects < first.objects + _SPARE_OBJECTS, call.looks


def test_nothing_is_left_under_way_when_nobody_has_the_floor(call: Call) -> None:
    for look in call.looks:
        assert (look.calls, look.outbox) == (0, 0)
        assert look.frames <= _CHUNK_FRAMES, "what was sent last"
        assert look.timers <= {Timer.IDLE_PROMPT, Timer.IDLE_CLOSE}
        assert look.tasks == call.looks[0].tasks
