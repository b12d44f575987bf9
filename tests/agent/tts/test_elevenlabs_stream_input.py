"""One WebSocket per reply."""

import asyncio

import pytest

from serve_app.agent.engines import Speech
from serve_app.errors import EngineUnavailable
from serve_app.fakes.elevenlabs import SECONDS_PER_CHAR, FakeElevenLabs, Script
from tests.agent.tts.eleven import (
    CLAUSES,
    DEADLINE_S,
    KEY,
    SENT,
    audio,
    collect,
    joined,
    say,
    say_and_wait,
    stream_input,
)


async def test_reply_is_spoken_clause_by_clause() -> None:
    speeches: list[Speech] = []
    async with FakeElevenLabs() as server, stream_input(server.url) as tts:
        await collect(tts.speak(say(*CLAUSES)), speeches)

    (connection,) = server.connections
    assert connection.headers["xi-api-key"] == KEY
    assert connection.path == "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM/stream-input"
    assert connection.query == {
        "model_id": "eleven_turbo_v2",
        "output_format": "pcm_22050",
        "optimize_streaming_latency": "2",
        "auto_mode": "true",
        "sync_alignment": "true",
        "inactivity_timeout": "180",
    }
    assert [m["text"] for m in connection.messages] == [" ", *SENT, ""]
    expected_s = sum(map(len, SENT)) * SECONDS_PER_CHAR
    assert len(audio(speeches)) / 44_100 == pytest.approx(expected_s, abs=0.001)
    assert all(len(s.audio) % 2 == 0 for s in speeches)


@pytest.mark.parametrize("script", [Script(), Script(stall_after=1)])
async def test_closing_the_reply_closes_the_socket(script: Script) -> None:
    async with FakeElevenLabs(script) as server, stream_input(server.url) as tts:
        speeches = tts.speak(say_and_wait("Sure,"))
        reader = asyncio.create_task(collect(speeches, []))
        async with asyncio.timeout(DEADLINE_S):
            await server.opened.wait()
            await server.connections[0].clause_arrived.wait()
            reader.cancel()
            await server.connections[0].closed.wait()
            with pytest.raises(asyncio.CancelledError):
                await reader


async def test_replies_at_the_same_time_have_a_socket_each() -> None:
    async with FakeElevenLabs() as server, stream_input(server.url) as tts:
        replies: list[list[Speech]] = [[], []]
        await asyncio.gather(
            collect(tts.speak(say("First one.")), replies[0]),
            collect(tts.speak(say("Second one.")), replies[1]),
        )
    assert [joined(r) for r in replies] == ["First one.", "Second one."]
    assert len(server.connections) == 2


async def test_normal_close_may_stand_for_the_final_message() -> None:
    speeches: list[Speech] = []
    script = Script(sends_final=False)
    async with FakeElevenLabs(script) as server, stream_input(server.url) as tts:
        await collect(tts.speak(say(*CLAUSES)), speeches)
    assert joined(speeches) == "".join(CLAUSES)


@pytest.mark.parametrize("code", [1000, 1011, 1012])
async def test_close_before_the_end(code: int) -> None:
    script = Script(fail_after=1, close_code=code)
    async with FakeElevenLabs(script) as server, stream_input(server.url) as tts:
        with pytest.raises(EngineUnavailable) as caught:
            await collect(tts.speak(say_and_wait(*CLAUSES)), [])
    assert caught.value.message == f"ElevenLabs closed the connection ({code})"


async def test_socket_is_opened_before_the_first_clause() -> None:
    async with FakeElevenLabs() as server, stream_input(server.url) as tts:
        reader = asyncio.create_task(collect(tts.speak(say_and_wait()), []))
        async with asyncio.timeout(DEADLINE_S):
            await server.opened.wait()
            reader.cancel()
            await server.connections[0].closed.wait()
