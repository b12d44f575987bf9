"""Voices that are asked for one clause at a time: OpenAI's API and ElevenLabs' HTTP."""

import asyncio
import logging
import pickle
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from serve_app.agent.engines import Speech, TtsEngine
from serve_app.agent.tts.elevenlabs.http import HttpVoice
from serve_app.agent.tts.openai_speech import OpenAiSpeech
from serve_app.conversation.sound import Sound
from serve_app.errors import EngineError, EngineTimeout, EngineUnavailable
from serve_app.fakes.elevenlabs import Script
from serve_app.fakes.elevenlabs_http import FakeElevenLabsHttp
from serve_app.fakes.http import HttpFake, Request
from serve_app.fakes.openai import FakeOpenAi, SpeechScript
from serve_app.fakes.tone import SECONDS_PER_CHAR
from serve_app.protocol.formats import parse_format
from serve_app.settings.agent import TtsSettings
from tests.agent.tts.eleven import (
    CLAUSES,
    DEADLINE_S,
    KEY,
    audio,
    collect,
    joined,
    say,
    say_and_wait,
)

SPOKEN = ["Sure,", "I can help 😀", "What is it?"]


@dataclass(frozen=True)
class Faults:
    """What both stand-ins can do."""

    status: int = 200
    stall_from: int | None = None
    """The request, counted from 1, that stalls after half of its audio."""
    cut_from: int | None = None
    chunk_bytes: int = 4096
    chunk_delay_s: float = 0.0


@asynccontextmanager
async def openai_voice(
    faults: Faults, url: str = "", **settings: object
) -> AsyncIterator[tuple[TtsEngine, HttpFake]]:
    script = SpeechScript(
        status=faults.status,
        chunk_bytes=faults.chunk_bytes,
        chunk_delay_s=faults.chunk_delay_s,
        ending="stall" if faults.stall_from else "cut" if faults.cut_from else "done",
        ending_from=faults.stall_from or faults.cut_from or 1,
    )
    async with FakeOpenAi(speech=script) as server:
        given = {"provider": "generic", "api_url": url or server.url, "model": "kokoro"}
        options = TtsSettings.model_validate({**given, "voice": "af_heart", **settings})
        tts = OpenAiSpeech(options, KEY)
        yield tts, server
        await tts.aclose()


@asynccontextmanager
async def elevenlabs_http(
    faults: Faults, url: str = "", **settings: object
) -> AsyncIterator[tuple[TtsEngine, HttpFake]]:
    script = Script(
        status=101 if faults.status == 200 else faults.status,
        chunk_bytes=faults.chunk_bytes,
        chunk_delay_s=faults.chunk_delay_s,
        stall_after=faults.stall_from,
        cut_after=faults.cut_from,
    )
    async with FakeElevenLabsHttp(script) as server:
        options = TtsSettings.model_validate({"api_url": url or server.url, **settings})
        tts = HttpVoice(options, KEY, parse_format("pcm_24000"))
        yield tts, server
        await tts.aclose()


VOICES = {"openai": openai_voice, "elevenlabs": elevenlabs_http}
voices = pytest.mark.parametrize("kind", VOICES)


def text_of(request: Request) -> str:
    return str(request.body.get("input") or request.body.get("text"))


async def fails(kind: str, faults: Faults, **settings: object) -> tuple[list[Speech], EngineError]:
    """What the reply gave, and the error that ended it."""
    speeches: list[Speech] = []
    async with asyncio.timeout(DEADLINE_S), VOICES[kind](faults, **settings) as (tts, _):
        with pytest.raises(EngineError) as caught:
            await collect(tts.speak(say(*CLAUSES)), speeches)
    message = str(pickle.loads(pickle.dumps(caught.value)))
    assert "help" not in message
    assert KEY not in message
    assert caught.value.stage == "tts"
    return speeches, caught.value


async def test_openai_is_asked_for_pcm_of_each_clause() -> None:
    speeches: list[Speech] = []
    async with openai_voice(Faults()) as (tts, server):
        await collect(tts.speak(say(*CLAUSES)), speeches)
    assert tts.format.name == "pcm_24000"
    assert [r.path for r in server.requests] == ["/v1/audio/speech"] * 3
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    asked = {"model": "kokoro", "voice": "af_heart", "response_format": "pcm"}
    assert [r.body for r in server.requests] == [{**asked, "input": text} for text in SPOKEN]


async def test_elevenlabs_is_asked_for_each_clause() -> None:
    async with elevenlabs_http(Faults()) as (tts, server):
        await collect(tts.speak(say(*CLAUSES), Sound("../v?x=1#")), [])
    path, _, query = server.requests[0].path.partition("?")
    assert path == "/v1/text-to-speech/..%2Fv%3Fx%3D1%23/stream"
    assert set(query.split("&")) == {"output_format=pcm_24000", "optimize_streaming_latency=2"}
    assert server.requests[0].headers["xi-api-key"] == KEY
    assert [r.body for r in server.requests] == [
        {"text": text, "model_id": "eleven_turbo_v2"} for text in SPOKEN
    ]


@pytest.mark.parametrize("language", ["de", ""])
async def test_elevenlabs_is_told_the_language_by_http(language: str) -> None:
    async with elevenlabs_http(Faults(), model_id="eleven_flash_v2_5") as (tts, server):
        await collect(tts.speak(say("Guten Tag."), Sound(language=language)), [])
    assert server.requests[0].body.get("language_code", "") == language


@voices
@pytest.mark.parametrize("chunk_bytes", [999, 4096, 10**6])
async def test_audio_and_text_are_what_was_put_in(kind: str, chunk_bytes: int) -> None:
    speeches: list[Speech] = []
    async with VOICES[kind](Faults(chunk_bytes=chunk_bytes)) as (tts, _):
        await collect(tts.speak(say(*CLAUSES)), speeches)
    assert joined(speeches) == "".join(CLAUSES)
    assert all(len(s.audio) % 2 == 0 for s in speeches)
    expected_s = len("".join(SPOKEN)) * SECONDS_PER_CHAR
    assert tts.format.seconds(len(audio(speeches))) == pytest.approx(expected_s, abs=0.001)
    samples = np.frombuffer(audio(speeches), dtype="<i2")
    assert 7_900 < np.abs(samples).max() <= 8_000, "samples are never split"


@voices
async def test_the_next_clause_is_requested_ahead_and_no_more(kind: str) -> None:
    async with VOICES[kind](Faults()) as (tts, server):
        reply = tts.speak(say(*(f"Sentence {i}." for i in range(9))))
        first = await anext(reply)
        async with asyncio.timeout(DEADLINE_S):
            await server.requests[0].answered.wait()
            await server.reached(2)
            await server.requests[1].answered.wait()
        assert [text_of(r) for r in server.requests] == ["Sentence 0.", "Sentence 1."]
        speeches = [first]
        await collect(reply, speeches)
    assert joined(speeches) == "".join(f"Sentence {i}." for i in range(9))


@voices
async def test_an_interrupt_hangs_up(kind: str) -> None:
    async with VOICES[kind](Faults(stall_from=1)) as (tts, server):
        reply = tts.speak(say_and_wait("Once upon a time,", " there was a ship."))
        await anext(reply)
        await reply.aclose()
        async with asyncio.timeout(DEADLINE_S):
            for request in server.requests:
                await request.disconnected.wait()


@voices
async def test_two_hundred_interrupts_leave_nothing_behind(kind: str) -> None:
    async with VOICES[kind](Faults(chunk_delay_s=0.001)) as (tts, server):
        before = asyncio.all_tasks()
        for _ in range(200):
            reply = tts.speak(say_and_wait("Once upon a time,", " there was a ship."))
            await anext(reply)
            await reply.aclose()
        async with asyncio.timeout(DEADLINE_S):
            await server.idle()
            ours = {t for t in asyncio.all_tasks() - before if "fakes" not in repr(t.get_coro())}
            if ours:
                await asyncio.wait(ours)


async def test_retry_after_is_not_waited_for() -> None:
    script = SpeechScript(status=429, retry_after_s=60)
    async with asyncio.timeout(DEADLINE_S), FakeOpenAi(speech=script) as server:
        options = TtsSettings(provider="generic", api_url=server.url, model="m", voice="v")
        tts = OpenAiSpeech(options, "")
        with pytest.raises(EngineUnavailable):
            await collect(tts.speak(say("Hi.")), [])
        await tts.aclose()
    assert len(server.requests) == 1


@voices
async def test_a_stalled_clause_has_a_deadline_after_what_came(kind: str) -> None:
    speeches, error = await fails(kind, Faults(stall_from=2), first_audio_timeout_s=1.0)
    assert isinstance(error, EngineTimeout)
    assert joined(speeches).startswith("Sure,")
    assert "".join(CLAUSES).startswith(joined(speeches))


@voices
async def test_a_cut_clause_ends_the_reply_after_what_came(kind: str) -> None:
    speeches, error = await fails(kind, Faults(cut_from=2))
    assert isinstance(error, EngineUnavailable)
    assert joined(speeches).startswith("Sure,")
    assert "".join(CLAUSES).startswith(joined(speeches))
    assert joined(speeches) != "".join(CLAUSES)


@voices
async def test_nobody_listens(kind: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        _, error = await fails(kind, Faults(), url=url)
    assert isinstance(error, EngineUnavailable)


@voices
async def test_error_of_the_writer_comes_after_the_audio_before_it(kind: str) -> None:
    async def breaks() -> AsyncIterator[str]:
        yield "Sure,"
        raise EngineTimeout("llm", "no text within 5 s")

    speeches: list[Speech] = []
    async with VOICES[kind](Faults()) as (tts, _):
        with pytest.raises(EngineTimeout, match="llm: no text"):
            await collect(tts.speak(breaks()), speeches)
    assert joined(speeches) == "Sure,"


@voices
async def test_logs_hold_no_key_and_no_text(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with VOICES[kind](Faults()) as (tts, _):
        await collect(tts.speak(say("I can help.")), [])
    logged = str([record.getMessage() for record in caplog.records])
    assert caplog.records
    assert KEY not in logged
    assert "help" not in logged


async def test_an_error_page_is_not_played() -> None:
    async with FakeOpenAi(speech=SpeechScript(content_type="text/html; charset=utf-8")) as server:
        options = TtsSettings(provider="generic", api_url=server.url, model="m", voice="v")
        tts = OpenAiSpeech(options, "")
        speeches: list[Speech] = []
        with pytest.raises(EngineError, match="the server's answer is not audio"):
            await collect(tts.speak(say("Hi.")), speeches)
        await tts.aclose()
    assert speeches == []


async def test_keyless_server_does_not_get_the_key_of_openai(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    async with FakeOpenAi() as server:
        options = TtsSettings(provider="generic", api_url=server.url, model="m", voice="v")
        tts = OpenAiSpeech(options, "")
        await collect(tts.speak(say("Hi.")), [])
        await tts.aclose()
    assert "sk-from-the-environment" not in str(server.requests[0].headers)


async def test_other_codecs_and_rates_are_as_configured() -> None:
    async with openai_voice(Faults(), output_format="mp3_24000_128") as (tts, server):
        await collect(tts.speak(say("Hi.")), [])
        assert server.requests[0].body["response_format"] == "mp3"
        assert tts.format.bytes_per_second == 16_000
    async with openai_voice(Faults(), sample_rate_hz=22_050) as (tts, _):
        assert tts.format.name == "pcm_22050"
