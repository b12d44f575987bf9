"""What is left out when a machine is slow, in which order, and when it comes back. In virtual
time: the VAD is as slow as the test says."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import AsyncMock, Mock

import numpy as np
import pytest

from bench.virtual_time import now_s, run
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.settings import FRAME_SAMPLES
from serve_app.errors import EngineTimeout
from serve_app.ingress.calls import Calls
from serve_app.ingress.load import CALM_S, FROM_S, Load, LoadWatcher, Shed
from serve_app.ingress.voice_activity import VoiceActivityBatcher, VoiceStream
from serve_app.ingress.work import Work
from serve_app.settings.schema import AppConfig
from serve_app.stt.job import Heard
from serve_app.vad.jobs import VadAnswer, VadJob

FRAME_S = 0.032
SAMPLES = np.zeros(FRAME_SAMPLES, dtype=np.float32)
LEVELS = list(Shed)[1:]
"""From what is left out first to what is left out last."""


class Log(LoadWatcher):
    """Writes down what happens."""

    def __init__(self) -> None:
        self.levels: list[Shed] = []
        self.left_out: list[Shed] = []

    def level(self, level: Shed) -> None:
        self.levels.append(level)

    def shed(self, what: Shed) -> None:
        self.left_out.append(what)


# --- the level ---


def test_what_users_notice_least_goes_first() -> None:
    log = Log()
    load = Load(log)
    for step in range(40):
        load.note(step * 0.1, step * 0.1)
    assert log.levels == LEVELS == sorted(LEVELS)
    assert [FROM_S[shed] for shed in LEVELS] == sorted(FROM_S.values())


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_includes_those_before_it(level: Shed) -> None:
    log = Log()
    load = Load(log)
    load.note(FROM_S[level], 0.0)
    assert log.levels == [level], "one that is suddenly very late does not climb step by step"
    assert [shed for shed in LEVELS if load.sheds(shed)] == LEVELS[: LEVELS.index(level) + 1]
    assert log.left_out == LEVELS[: LEVELS.index(level) + 1]


def test_a_level_falls_step_by_step_after_a_calm_time_each() -> None:
    log = Log()
    load = Load(log)
    load.note(10.0, 0.0)
    fell_at_s: list[float] = []
    for step in range(100):
        load.note(0.02, step * 0.1)
        fell_at_s += [step * 0.1] if len(log.levels) > len(fell_at_s) + 1 else []
    assert log.levels == [Shed.SMALL_CALLS, *reversed(list(Shed)[:-1])]
    assert fell_at_s == pytest.approx([CALM_S * step for step in (1, 2, 3, 4)], abs=0.15)


def test_what_is_late_by_turns_does_not_flutter() -> None:
    """Just above and just below the mark, and for moments far below it."""
    log = Log()
    load = Load(log)
    for step in range(1000):
        late_s = FROM_S[Shed.DRAFTS] * (1.1, 0.9, 0.6, 0.1)[step % 4]
        load.note(late_s, step * 0.1)
    assert log.levels == [Shed.DRAFTS]


def test_at_ease_nothing_is_left_out() -> None:
    log = Log()
    load = Load(log)
    for step in range(1000):
        load.note(0.06, step * 0.016)
        assert not any(load.sheds(shed) for shed in LEVELS)
    assert not log.levels and not log.left_out


# --- where the level comes from: how late frames are ---


class Microphones:
    """Sessions that send a frame each 32 ms."""

    def __init__(self, sessions: int, detect: Callable[[list[VadJob]], Awaitable[Any]]) -> None:
        self.log = Log()
        self.load = Load(self.log)
        self.lost: list[Exception] = []
        self.judged = 0
        self._batcher = VoiceActivityBatcher(detect, self.load, now_s)  # type: ignore[arg-type]
        self.streams = [VoiceStream(self._take, self.lost.append) for _ in range(sessions)]

    def _take(self, probabilities: list[float]) -> None:
        self.judged += len(probabilities)

    async def run(self, seconds: float) -> None:
        for stream in self.streams:
            self._batcher.add(stream)
        running = asyncio.create_task(self._batcher.run())
        for _ in range(round(seconds / FRAME_S)):
            await asyncio.sleep(FRAME_S)
            for stream in self.streams:
                self._batcher.push(stream, SAMPLES)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def answers(jobs: list[VadJob]) -> list[VadAnswer]:
    return [VadAnswer(job.row, np.zeros(len(job.frames), dtype=np.float32)) for job in jobs]


def test_a_vad_that_becomes_slow_and_fast_again_loses_nobody() -> None:
    """A call costs a time of its own and some for each frame, as on a machine; the machine becomes
    slower and slower. All levels are reached in their order, and left in the opposite one."""

    async def detect(jobs: list[VadJob]) -> list[VadAnswer]:
        frames = sum(len(job.frames) for job in jobs)
        slowness = 1 + (now_s() if now_s() < 20 else 0)
        await asyncio.sleep(slowness * (0.01 + 0.00005 * frames))
        return answers(jobs)

    microphones = Microphones(100, detect)
    run(microphones.run(60.0))
    levels = microphones.log.levels
    peak = levels.index(max(levels))
    assert levels[: peak + 1] == LEVELS[: peak + 1], "one after the other"
    assert levels[-1] is Shed.NOTHING and levels[peak:] == sorted(levels[peak:], reverse=True)
    assert not microphones.lost
    assert microphones.judged >= 100 * (60 / FRAME_S - 20)


def test_one_session_that_is_behind_is_no_load() -> None:
    """Its client has sent 15 s at once, as after a resume."""

    async def detect(jobs: list[VadJob]) -> list[VadAnswer]:
        await asyncio.sleep(0.02 + 0.0005 * max(len(job.frames) for job in jobs))
        return answers(jobs)

    async def main() -> None:
        batcher = microphones._batcher
        batcher.push(microphones.streams[0], np.zeros(470 * FRAME_SAMPLES, dtype=np.float32))
        await microphones.run(5.0)

    microphones = Microphones(10, detect)
    run(main())
    assert not microphones.log.levels


def test_calls_are_few_and_large_at_the_last_level() -> None:
    calls: list[int] = []

    async def detect(jobs: list[VadJob]) -> list[VadAnswer]:
        calls.append(len(jobs[0].frames))
        await asyncio.sleep(0.001)
        return answers(jobs)

    def calls_a_second(late_s: float) -> float:
        calls.clear()
        microphones = Microphones(1, detect)
        microphones.load.note(late_s, 0.0)
        run(microphones.run(2.0))
        return len(calls) / 2.0

    assert calls_a_second(0.0) == pytest.approx(1 / FRAME_S, rel=0.1)
    assert calls_a_second(FROM_S[Shed.SMALL_CALLS]) == pytest.approx(1 / 0.128, rel=0.1)


def test_an_outage_of_half_a_minute_loses_nobody() -> None:
    """The VAD is killed and starts again: every frame is judged, and all work comes back."""

    async def detect(jobs: list[VadJob]) -> list[VadAnswer]:
        await asyncio.sleep(min(5.0, 31.0 - now_s()) if 1 < now_s() < 31 else 0)
        if 1 < now_s() < 31:
            raise EngineTimeout("vad", "no answer within 5 s")
        await asyncio.sleep(0.004 + 0.00003 * sum(len(job.frames) for job in jobs))
        return answers(jobs)

    microphones = Microphones(100, detect)
    run(microphones.run(60.0))
    assert not microphones.lost
    assert microphones.judged >= 100 * (60 / FRAME_S - 20)
    assert microphones.load.level is Shed.NOTHING


# --- what is left out ---

PART = ef.TranscribePart(1, 1, SAMPLES)
DRAFT = ef.Reply(1, 1, (), is_draft=True)
JUDGE = ef.JudgeTurn(1, 1, SAMPLES)
LEFT_OUT: list[tuple[Shed, Any, ev.Event]] = [
    (Shed.PARTIALS, PART, ev.PartTranscribed(1, 1, "")),
    (Shed.DRAFTS, DRAFT, ev.DraftDeclined(1, 1)),
    (Shed.JUDGEMENTS, JUDGE, ev.TurnJudged(1, 1, None)),
]


async def carried_out(effect: Any, load: Load) -> tuple[list[ev.Event], int]:
    """The events, and how many calls were made."""
    vad, stt, agent = Mock(), Mock(), Mock()
    vad.judge.remote.side_effect = lambda *_: asyncio.sleep(0.0, 0.9)
    stt.transcribe.remote.side_effect = lambda *_: asyncio.sleep(0.0, Heard("text", "en"))
    agent.options.return_value = agent
    agent.reply.remote.return_value = AsyncMock(__anext__=AsyncMock(side_effect=StopAsyncIteration))
    agent.reply.remote.return_value.cancel = Mock()
    taken: list[ev.Event] = []
    work = Work("session", Calls(AppConfig(), vad, stt, agent, load), taken.append, Mock())
    work.start(effect)
    while work.tasks:
        await asyncio.wait(work.tasks)
        await asyncio.sleep(0)
    called = (vad.judge.remote, stt.transcribe.remote, agent.reply.remote)
    return taken, sum(call.call_count for call in called)


@pytest.mark.parametrize(("what", "effect", "event"), LEFT_OUT)
@pytest.mark.parametrize("level", Shed)
async def test_work_that_is_left_out_ends_at_once_without_a_call(
    what: Shed, effect: Any, event: ev.Event, level: Shed
) -> None:
    log = Log()
    load = Load(log)
    load.note(FROM_S.get(level, 0.0), 0.0)
    events, calls = await carried_out(effect, load)
    if level >= what:
        assert (events, calls, log.left_out) == ([event], 0, [what])
    else:
        assert (len(events), calls, log.left_out) == (1, 1, []) and events != [event]


@pytest.mark.parametrize(
    "effect",
    [ef.Transcribe(1, 1, SAMPLES), ef.Transcribe(1, 1, SAMPLES, "", 400), ef.Reply(1, 1, ())],
)
async def test_what_a_turn_needs_is_never_left_out(effect: Any) -> None:
    log = Log()
    load = Load(log)
    load.note(100.0, 0.0)
    events, calls = await carried_out(effect, load)
    assert len(events) == 1 and calls == 1 and not log.left_out
