"""Replies that share sockets: contexts, interrupts, limits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal

import pytest

from serve_app.agent.engines import Speech
from serve_app.agent.tts.elevenlabs.sockets import Limits
from serve_app.conversation.sound import Sound
from serve_app.errors import EngineTimeout, EngineUnavailable
from serve_app.fakes.elevenlabs import Context, FakeElevenLabs, Script
from tests.agent.tts.eleven import (
    CLAUSES,
    DEADLINE_S,
    KEY,
    LONG,
    SENT,
    TICK_S,
    collect,
    joined,
    multi_context,
    say,
    say_and_wait,
    seconds,
    spoken_s,
)


def all_contexts(server: FakeElevenLabs) -> list[Context]:
    return [context for c in server.connections for context in c.contexts.values()]


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
            await collect(tts.speak(say("Hi."), Sound(voice)), [])
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
        multi_context(server.url, first_audio_timeout_s=1.0) as tts,
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
