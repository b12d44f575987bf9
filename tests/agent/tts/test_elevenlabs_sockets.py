"""Sockets that replies share: how long they are kept, and how they fail."""

import asyncio

import pytest

from serve_app.agent.engines import Speech
from serve_app.agent.tts.elevenlabs.sockets import Limits
from serve_app.conversation.sound import Sound
from serve_app.errors import EngineError, EngineTimeout, EngineUnavailable
from serve_app.fakes.elevenlabs import FakeElevenLabs, Script
from tests.agent.tts.eleven import (
    CLAUSES,
    DEADLINE_S,
    LONG,
    TICK_S,
    Written,
    collect,
    joined,
    multi_context,
    say,
    say_and_wait,
    seconds,
    spoken_s,
)


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
            await collect(tts.speak(say("Hi."), Sound(voice)), [])
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
    # What was said and what was sent again is the whole text; a piece of audio is 0.45 letters.
    assert seconds(speeches) == pytest.approx(spoken_s("".join(LONG), "  "), abs=0.1)
    assert len(first.texts) >= 2


async def test_the_rest_of_a_reply_goes_on_after_a_lost_socket() -> None:
    """The LLM goes on writing while the socket is gone."""
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
    assert caught.value.message.startswith("ElevenLabs reported an error (quota_exceeded): ")
    assert not caught.value.retryable
    assert joined(speeches) == LONG[0] + LONG[2]
    assert seconds(speeches) == pytest.approx(spoken_s(LONG[0], LONG[2]), abs=0.1)
    assert len(server.connections) == 2


async def test_a_smaller_limit_of_contexts_does_not_end_replies() -> None:
    """As with another client on the account, or when ElevenLabs changes its limit."""
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
        # The second reply keeps this deadline, too, however busy the machine is.
        multi_context(server.url, first_audio_timeout_s=1.0) as tts,
    ):
        with pytest.raises(EngineTimeout):
            await collect(tts.speak(say("Hi.")), [])
        speeches: list[Speech] = []
        await collect(tts.speak(say("Hi.")), speeches)
    assert joined(speeches) == "Hi."
    assert len(server.connections) == 2
