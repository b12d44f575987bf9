"""Replies that share sockets: interrupts, faults, limits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal

import pytest

from serve_app.engines.base import Speech
from serve_app.engines.elevenlabs.sockets import Limits
from serve_app.errors import EngineError, EngineTimeout, EngineUnavailable
from serve_app.fakes.elevenlabs import SECONDS_PER_CHAR, Context, FakeElevenLabs, Script
from tests.engines.eleven import (
    CLAUSES,
    DEADLINE_S,
    KEY,
    SENT,
    audio,
    collect,
    joined,
    multi_context,
    say,
    say_and_wait,
)

LONG = ["Once upon a time there was a ship, ", "and it went far, far away ", "over the sea."]
TICK_S = 0.01


def seconds(speeches: list[Speech]) -> float:
    return len(audio(speeches)) / 44_100


def spoken_s(*texts: str) -> float:
    return sum(map(len, texts)) * SECONDS_PER_CHAR


def all_contexts(server: FakeElevenLabs) -> list[Context]:
    return [context for c in server.connections for context in c.contexts.values()]


class Written:
    """Clauses that a test writes one by one."""

    def __init__(self, *clauses: str) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.write(*clauses)

    def write(self, *clauses: str | None) -> None:
        for clause in clauses:
            self._queue.put_nowait(clause)

    async def __aiter__(self) -> AsyncIterator[str]:
        while (clause := await self._queue.get()) is not None:
            yield clause


async def test_a_reply_is_a_context_from_its_first_space_to_close_context() -> None:
    speeches: list[Speech] = []
    async with FakeElevenLabs() as server, multi_context(server.url) as tts:
        await collect(tts.speak(say(*CLAUSES)), speeches)

    (connection,) = server.connections
    assert connection.headers["xi-api-key"] == KEY
    assert connection.path == "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM/multi-stream-input"
    assert connection.query == {
        "model_id": "eleven_turbo_v2",
        "output_format": "pcm_22050",
        "optimize_streaming_latency": "2",
        "auto_mode": "true",
        "sync_alignment": "true",
        "inactivity_timeout": "180",
    }
    (id,) = connection.contexts
    assert connection.messages == [
        {"text": " ", "context_id": id},
        *({"text": text, "context_id": id} for text in SENT),
        {"context_id": id, "flush": True},
        {"context_id": id, "close_context": True},
    ]
    assert joined(speeches) == "".join(CLAUSES)
    assert seconds(speeches) == pytest.approx(spoken_s(*SENT), abs=0.001)


async def test_replies_one_after_the_other_share_a_warm_socket() -> None:
    async with FakeElevenLabs() as server, multi_context(server.url) as tts:
        for _ in range(12):
            speeches: list[Speech] = []
            await collect(tts.speak(say(*CLAUSES)), speeches)
            assert joined(speeches) == "".join(CLAUSES)
    (connection,) = server.connections
    assert len(connection.contexts) == 12
    assert connection.unfinished == 0


async def test_each_voice_has_its_socket() -> None:
    async with FakeElevenLabs() as server, multi_context(server.url) as tts:
        for voice in ("", "ada", "ada"):
            await collect(tts.speak(say("Hi."), voice), [])
    assert [c.path.split("/")[3] for c in server.connections] == ["21m00Tcm4TlvDq8ikWAM", "ada"]


async def interrupted(speeches: "asyncio.Task[None]") -> None:
    speeches.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speeches


@pytest.mark.parametrize("script", [Script(chunk_delay_s=0.01), Script(stall_after=1)])
async def test_an_interrupt_closes_the_context_and_keeps_the_socket(script: Script) -> None:
    async with FakeElevenLabs(script) as server, multi_context(server.url) as tts:
        reader = asyncio.create_task(collect(tts.speak(say_and_wait(*LONG)), []))
        async with asyncio.timeout(DEADLINE_S):
            await server.opened.wait()
            (connection,) = server.connections
            await connection.clause_arrived.wait()
            (context,) = connection.contexts.values()
            await interrupted(reader)
            await context.closed.wait()
        assert not connection.closed.is_set()
        assert connection.messages[-1]["close_context"] is True


@pytest.mark.parametrize("id_key", ["contextId", "context_id"])
@pytest.mark.parametrize(
    ("written", "late_audio"),
    [(say_and_wait, True), (say, False)],
    ids=["while it is written", "when all text is sent: ElevenLabs speaks on"],
)
async def test_late_audio_of_an_interrupted_reply_is_dropped(
    id_key: Literal["contextId", "context_id"],
    written: Callable[..., AsyncIterator[str]],
    late_audio: bool,
) -> None:
    script = Script(late_audio=late_audio, chunk_bytes=1_000, chunk_delay_s=0.001, id_key=id_key)
    async with FakeElevenLabs(script) as server, multi_context(server.url) as tts:
        old = tts.speak(written(*LONG))
        await anext(old)
        await old.aclose()
        speeches: list[Speech] = []
        await collect(tts.speak(say("Yes, really.")), speeches)
        (connection,) = server.connections
        assert connection.unfinished == 1, "the old one still speaks: nothing was tested otherwise"
    assert seconds(speeches) == pytest.approx(spoken_s("Yes, really. "), abs=0.001)
    assert joined(speeches) == "Yes, really."


async def test_audio_without_a_name_is_taken_only_when_it_can_be_for_one_reply() -> None:
    speeches: list[Speech] = []
    async with (
        FakeElevenLabs(Script(id_key="")) as server,
        multi_context(server.url, first_audio_timeout_s=0.2) as tts,
    ):
        await collect(tts.speak(say("Hello.")), speeches)
        assert seconds(speeches) == pytest.approx(spoken_s("Hello. "), abs=0.001)
        speeches.clear()
        with pytest.raises(EngineTimeout):
            await collect(tts.speak(say("Hello again.")), speeches)
    assert speeches == []


async def test_no_socket_gets_more_than_five_contexts() -> None:
    script = Script(chunk_delay_s=0.005)
    replies: list[list[Speech]] = [[] for _ in range(8)]
    async with FakeElevenLabs(script) as server, multi_context(server.url) as tts:
        await asyncio.gather(*(collect(tts.speak(say(*CLAUSES)), reply) for reply in replies))
    assert {joined(reply) for reply in replies} == {"".join(CLAUSES)}
    assert [len(c.contexts) for c in server.connections] == [5, 3]


async def test_closed_contexts_count_until_they_are_final() -> None:
    limits = Limits(final_s=0.05, tick_s=TICK_S)
    async with (
        FakeElevenLabs(Script(sends_final=False)) as server,
        multi_context(server.url, limits) as tts,
    ):
        for _ in range(6):
            reply = tts.speak(say_and_wait("Well,"))
            await anext(reply)
            await reply.aclose()
        assert len(server.connections[0].contexts) <= 5
        assert len(server.connections) >= 2
        async with asyncio.timeout(DEADLINE_S):
            await server.connections[0].closed.wait()  # useless: its contexts do not end


async def test_an_interrupt_during_the_handshake_leaves_the_socket_to_others() -> None:
    async with FakeElevenLabs() as server, multi_context(server.url) as tts:
        first = asyncio.create_task(collect(tts.speak(say_and_wait("No,")), []))
        await asyncio.sleep(0)  # it has asked for a connection and no more
        await interrupted(first)
        five = [tts.speak(say_and_wait("Yes.")) for _ in range(5)]
        await asyncio.gather(*map(anext, five))
        await asyncio.gather(*(reply.aclose() for reply in five))
    (connection,) = server.connections
    assert connection.texts == ["Yes. "] * 5


async def test_a_context_that_waits_for_text_is_kept_alive() -> None:
    limits = Limits(keep_alive_s=0.03, tick_s=TICK_S)
    async with FakeElevenLabs() as server, multi_context(server.url, limits) as tts:
        text = Written("Let me see.")
        reply = tts.speak(text.__aiter__())
        await anext(reply)
        (context,) = server.connections[0].contexts.values()
        rest = asyncio.create_task(collect(reply, []))
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(3):
                context.kept_alive.clear()
                await context.kept_alive.wait()
        text.write(" Here it is.", None)
        await rest
        assert context.texts == ["Let me see. ", "Here it is. "]
    assert context.final.is_set()


async def test_an_idle_socket_is_closed() -> None:
    limits = Limits(idle_s=0.05, tick_s=TICK_S)
    async with FakeElevenLabs() as server, multi_context(server.url, limits) as tts:
        await collect(tts.speak(say("Hi.")), [])
        async with asyncio.timeout(DEADLINE_S):
            await server.connections[0].closed.wait()
        await collect(tts.speak(say("Hi.")), [])
    assert len(server.connections) == 2


async def test_a_socket_that_elevenlabs_closed_between_replies_is_replaced() -> None:
    async with (
        FakeElevenLabs(Script(inactivity_s=0.3)) as server,
        multi_context(server.url) as tts,
    ):
        for _ in range(2):
            speeches: list[Speech] = []
            await collect(tts.speak(say("Hi.")), speeches)
            assert joined(speeches) == "Hi."
            async with asyncio.timeout(DEADLINE_S):
                await server.connections[-1].closed.wait()
    assert len(server.connections) == 2


async def test_few_idle_sockets_are_kept() -> None:
    limits = Limits(idle_sockets=2, tick_s=TICK_S)
    async with FakeElevenLabs() as server, multi_context(server.url, limits) as tts:
        for voice in ("ada", "bob", "cy"):
            await collect(tts.speak(say("Hi."), voice), [])
        async with asyncio.timeout(DEADLINE_S):
            await server.connections[0].closed.wait()
        assert not server.connections[1].closed.is_set()


async def test_a_lost_socket_costs_neither_text_nor_audio_twice() -> None:
    script = Script(cut_after=2, faulty_connections=1, chunk_bytes=1_000)
    speeches: list[Speech] = []
    async with FakeElevenLabs(script) as server, multi_context(server.url) as tts:
        await collect(tts.speak(say(*LONG)), speeches)
    first, second = server.connections
    assert joined(speeches) == "".join(LONG)
    resent = "".join(second.texts)
    said = len("".join(LONG)) - len(resent.strip())
    assert 0 < said - len(LONG[0]) < len(LONG[1]), "cut off in the middle of the second clause"
    assert "".join(LONG).endswith(resent.strip())
    # What was said and what was resent is the whole text; a piece of audio is 0.45 letters.
    assert seconds(speeches) == pytest.approx(spoken_s("".join(LONG), "  "), abs=0.1)
    assert len(first.texts) >= 2


async def test_the_rest_of_a_reply_goes_on_after_a_lost_socket() -> None:
    """The LLM still writes while the socket is gone."""
    script = Script(cut_after=1, faulty_connections=1)
    async with FakeElevenLabs(script) as server, multi_context(server.url) as tts:
        text, speeches = Written(LONG[0]), list[Speech]()
        reader = asyncio.create_task(collect(tts.speak(text.__aiter__()), speeches))
        async with asyncio.timeout(DEADLINE_S):
            await server.opened.wait()
            await server.connections[0].closed.wait()
            text.write(LONG[1], LONG[2], None)
            await reader
    assert joined(speeches) == "".join(LONG)


async def test_a_socket_is_replaced_once_a_reply() -> None:
    speeches: list[Speech] = []
    async with FakeElevenLabs(Script(cut_after=1)) as server, multi_context(server.url) as tts:
        with pytest.raises(EngineUnavailable, match=r"ElevenLabs closed the connection \(1006\)"):
            await collect(tts.speak(say(*LONG)), speeches)
    assert len(server.connections) == 2
    assert "".join(LONG).startswith(joined(speeches))


async def test_without_alignment_nothing_is_resent() -> None:
    script = Script(cut_after=1, has_alignment=False)
    async with FakeElevenLabs(script) as server, multi_context(server.url) as tts:
        with pytest.raises(EngineUnavailable):
            await collect(tts.speak(say(*LONG)), [])
    assert len(server.connections) == 1


async def test_a_reply_that_was_said_needs_no_final_message() -> None:
    speeches: list[Speech] = []
    script = Script(sends_final=False)
    async with FakeElevenLabs(script) as server, multi_context(server.url) as tts:
        async with asyncio.timeout(DEADLINE_S):
            await collect(tts.speak(say(*CLAUSES)), speeches)
    assert joined(speeches) == "".join(CLAUSES)
    assert len(server.connections) == 1


async def test_a_context_that_ends_before_its_text_is_replaced() -> None:
    script = Script(fail_after=1, error='{"isFinal": true}', faulty_connections=1)
    speeches: list[Speech] = []
    async with FakeElevenLabs(script) as server, multi_context(server.url) as tts:
        text = Written(LONG[0])
        reader = asyncio.create_task(collect(tts.speak(text.__aiter__()), speeches))
        async with asyncio.timeout(DEADLINE_S):
            await server.opened.wait()
            await server.connections[0].closed.wait()
            text.write(LONG[1], None)
            await reader
    assert joined(speeches) == LONG[0] + LONG[1]
    assert seconds(speeches) == pytest.approx(spoken_s(*LONG[:2]), abs=0.1)


async def test_an_error_ends_its_own_reply_and_moves_the_others() -> None:
    error = {"message": "no more", "error": "quota_exceeded", "code": 1008}
    script = Script(fail_after=2, error=error, faulty_connections=1)
    async with FakeElevenLabs(script) as server, multi_context(server.url) as tts:
        text, speeches = Written(LONG[0]), list[Speech]()
        innocent = tts.speak(text.__aiter__())
        speeches.append(await anext(innocent))
        with pytest.raises(EngineError) as caught:
            await collect(tts.speak(say(LONG[1])), [])
        text.write(LONG[2], None)
        await collect(innocent, speeches)
    assert caught.value.message == "ElevenLabs reported an error (quota_exceeded)"
    assert not caught.value.retryable
    assert joined(speeches) == LONG[0] + LONG[2]
    assert seconds(speeches) == pytest.approx(spoken_s(LONG[0], LONG[2]), abs=0.1)
    assert len(server.connections) == 2


async def test_a_smaller_limit_of_contexts_does_not_end_replies() -> None:
    """With another client on the account, or when ElevenLabs changes its mind."""
    replies: list[list[Speech]] = [[], []]
    script = Script(max_contexts=1, chunk_delay_s=0.005)
    async with FakeElevenLabs(script) as server, multi_context(server.url) as tts:
        await asyncio.gather(*(collect(tts.speak(say(*LONG)), reply) for reply in replies))
    assert [joined(reply) for reply in replies] == ["".join(LONG)] * 2
    assert len(server.connections) == 3


@pytest.mark.parametrize("status", [401, 403, 429, 500])
async def test_a_refused_handshake_is_not_tried_again(status: int) -> None:
    async with FakeElevenLabs(Script(status=status)) as server, multi_context(server.url) as tts:
        with pytest.raises(EngineError, match=f"HTTP {status}"):
            await collect(tts.speak(say("Hi.")), [])
    assert len(server.connections) == 1


async def test_a_socket_that_stalled_gets_no_more_replies() -> None:
    script = Script(stall_after=1, faulty_connections=1)
    async with (
        FakeElevenLabs(script) as server,
        multi_context(server.url, first_audio_timeout_s=0.1) as tts,
    ):
        with pytest.raises(EngineTimeout):
            await collect(tts.speak(say("Hi.")), [])
        speeches: list[Speech] = []
        await collect(tts.speak(say("Hi.")), speeches)
    assert joined(speeches) == "Hi."
    assert len(server.connections) == 2


async def test_shutting_down_ends_replies() -> None:
    async with FakeElevenLabs() as server, multi_context(server.url) as tts:
        reply = tts.speak(say_and_wait("Well,"))
        await anext(reply)
        await tts.aclose()
        with pytest.raises(EngineUnavailable, match="the voice was shut down"):
            await collect(reply, [])
        with pytest.raises(EngineUnavailable, match="the voice was shut down"):
            await collect(tts.speak(say("Hi.")), [])


async def test_two_hundred_interrupts_leave_nothing_behind() -> None:
    script = Script(chunk_delay_s=0.001)
    async with FakeElevenLabs(script) as server:
        before = asyncio.all_tasks()
        async with multi_context(server.url, Limits(tick_s=TICK_S)) as tts:
            for i in range(200):
                reply = tts.speak(say_and_wait(*LONG))
                if i % 4:  # the others before they have begun to speak
                    await anext(reply)
                    await reply.aclose()
                else:
                    reader = asyncio.create_task(collect(reply, []))
                    await asyncio.sleep(0)
                    await interrupted(reader)
            async with asyncio.timeout(DEADLINE_S):
                for context in all_contexts(server):
                    await context.final.wait()
            assert len(server.connections) <= 2
        async with asyncio.timeout(DEADLINE_S):
            for connection in server.connections:
                await connection.closed.wait()
            if left := asyncio.all_tasks() - before:
                await asyncio.wait(left)


async def test_eight_replies_at_once_are_interrupted_within_100_ms() -> None:
    script = Script(chunk_bytes=2_000, chunk_delay_s=0.002)
    delays_s: list[float] = []
    clock = asyncio.get_running_loop().time
    async with FakeElevenLabs(script) as server, multi_context(server.url) as tts:
        for _ in range(5):
            replies = [tts.speak(say_and_wait(*LONG * 4)) for _ in range(8)]
            await asyncio.gather(*map(anext, replies))
            waiting = [c for c in all_contexts(server) if not c.closed.is_set()]
            assert len(waiting) == 8
            started_s = clock()
            await asyncio.gather(*(reply.aclose() for reply in replies))
            async with asyncio.timeout(DEADLINE_S):
                for context in waiting:
                    await context.closed.wait()
            delays_s += [context.closed_at_s - started_s for context in waiting]
    p95 = sorted(delays_s)[round(0.95 * len(delays_s)) - 1]
    assert p95 < 0.1, f"p95 {p95 * 1000:.0f} ms"
