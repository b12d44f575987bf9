"""Texts in the agent's voice, asked for by OpenAI's own client. Only the voice is a script."""

import asyncio
import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import soundfile
from openai import AsyncOpenAI

from serve_app.agent.parts import Began, ReplyPart
from serve_app.conversation.piece import Piece
from serve_app.conversation.sound import Sound
from serve_app.errors import EngineError, EngineUnavailable
from serve_app.ingress.options import Options
from serve_app.settings.schema import AppConfig
from tests.ingress.access.guests import ADA, guarded
from tests.ingress.replica import DEADLINE_S, Replica, replica
from tests.ingress.rest.asking import asking, plain, refused

pytestmark = pytest.mark.timeout(60)

PATH = "/v1/audio/speech"
RATE_HZ = 24_000


async def say(client: AsyncOpenAI, text: Any = "It is noon.", **how: Any) -> bytes:
    fields: Any = {"model": "any", "voice": "alloy", "input": text, **how}
    return (await client.audio.speech.create(**fields)).content


class Voice:
    """In the place of the script's: says the parts that a test puts into it, None being the end."""

    def __init__(self, server: Replica, *parts: ReplyPart | Exception | None) -> None:
        self.parts: asyncio.Queue[ReplyPart | Exception | None] = asyncio.Queue()
        for part in parts:
            self.parts.put_nowait(part)
        self.asked: list[tuple[str, Sound]] = []
        self.is_asked, self.is_cancelled = asyncio.Event(), asyncio.Event()
        server.script.say = self.say  # type: ignore[assignment]

    def say(self, text: str, sound: Sound) -> "Voice":
        self.asked.append((text, sound))
        self.is_asked.set()
        return self

    async def next(self) -> ReplyPart | None:
        part = await self.parts.get()
        if isinstance(part, Exception):
            raise part
        return part

    def cancel(self) -> None:
        self.is_cancelled.set()


def piece(value: int, samples: int = 1000) -> Piece:
    return Piece(np.full(samples, value, "<i2").tobytes(), "text", samples / RATE_HZ)


@pytest.mark.parametrize("how", [{"response_format": "wav"}, {}])
async def test_a_text_is_said_as_wav(how: Any) -> None:
    async with replica() as server, asking(server) as client:
        found = await say(client, **how)
    samples, rate_hz = soundfile.read(io.BytesIO(found))
    assert rate_hz == RATE_HZ and len(samples) == RATE_HZ * len("It is noon.") // 15
    assert np.abs(np.fft.rfft(samples)).argmax() * rate_hz / len(samples) == pytest.approx(
        220, 0.02
    )


async def test_a_text_is_said_as_pcm() -> None:
    async with replica() as server, asking(server) as client:
        voice = Voice(server, Began(), piece(1), Piece(b"", "???", 0.0, False), piece(2), None)
        found = await say(client, response_format="pcm")
    assert np.frombuffer(found, "<i2").tolist() == [1] * 1000 + [2] * 1000
    assert voice.asked == [("It is noon.", Sound("", RATE_HZ))]


async def test_it_comes_as_it_is_made() -> None:
    async with replica() as server, asking(server) as client:
        voice = Voice(server, Began(), piece(1))
        answering = client.audio.speech.with_streaming_response.create(
            model="any", voice="alloy", input="Long.", response_format="wav"
        )
        async with asyncio.timeout(DEADLINE_S), answering as answer:
            assert answer.headers["content-type"] == "audio/wav"
            chunks = answer.iter_bytes()
            first = await anext(chunks)
            assert first[:4] == b"RIFF" and struct.unpack("<I", first[24:28]) == (RATE_HZ,)
            assert not voice.is_cancelled.is_set()
            voice.parts.put_nowait(piece(2))
            assert (await anext(chunks))[:2] == b"\x02\x00"
            voice.parts.put_nowait(None)
            assert [chunk async for chunk in chunks] == []
    assert voice.is_cancelled.is_set()


async def test_a_client_that_leaves_stops_the_voice() -> None:
    async with replica() as server, asking(server) as client:
        voice = Voice(server, Began(), piece(1))
        answering = client.audio.speech.with_streaming_response.create(
            model="any", voice="alloy", input="Long.", response_format="pcm"
        )
        async with asyncio.timeout(DEADLINE_S):
            async with answering as answer:
                await anext(answer.iter_bytes())
            await voice.is_cancelled.wait()


@pytest.mark.parametrize(
    ("parts", "status", "code", "param"),
    [
        ([EngineUnavailable("tts", "away")], 503, "engine_unavailable", None),
        ([Began(), EngineError("tts", "wrong key")], 500, "server_error", None),
        ([Began(), None], 400, "invalid_value", "input"),
    ],
    ids=["away", "wrong", "nothing"],
)
async def test_a_voice_that_fails_before_its_first_sound_has_a_status(
    parts: Any, status: int, code: str, param: str | None
) -> None:
    async with replica() as server, asking(server) as client:
        voice = Voice(server, *parts)
        async with refused(status, code, param):
            await say(client)
        assert voice.is_cancelled.is_set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_voice_that_fails_later_breaks_the_connection() -> None:
    """What came until then is not taken for all of it."""
    async with replica() as server, asking(server) as client:
        Voice(server, Began(), piece(1), EngineError("tts", "gone"))
        with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
            await say(client, response_format="pcm")


async def test_it_ends_within_its_time() -> None:
    async with replica(ingress={"audio": {"timeout_s": 0.2}}) as server, asking(server) as client:
        voice = Voice(server, Began())
        async with refused(503, "engine_unavailable"):
            await say(client)
        assert voice.is_cancelled.is_set()


@pytest.mark.parametrize(
    ("how", "code", "param"),
    [
        ({"response_format": "mp3"}, "unsupported_value", "response_format"),
        ({"response_format": ["wav"]}, "unsupported_value", "response_format"),
        ({"response_format": {}}, "unsupported_value", "response_format"),
        ({"speed": 2}, "unsupported_value", "speed"),
        ({"instructions": "Whisper."}, "unsupported_value", "instructions"),
        ({"stream_format": "sse"}, "unsupported_value", "stream_format"),
        ({"text": ""}, "invalid_value", "input"),
        ({"text": " \n"}, "invalid_value", "input"),
        ({"text": "a" * 101}, "invalid_value", "input"),
        ({"text": 7}, "invalid_value", "input"),
        ({"voice": 7}, "invalid_value", "voice"),
        ({"voice": "a" * 200}, "invalid_value", "voice"),
        ({"extra_body": {"pitch": 1}}, "unknown_parameter", None),
    ],
)
async def test_what_cannot_be_is_refused(how: Any, code: str, param: str | None) -> None:
    async with replica(ingress={"audio": {"input_chars": 100}}) as server, asking(server) as client:
        voice = Voice(server)
        async with refused(400, code, param):
            await say(client, **how)
        assert not voice.asked


async def test_half_a_character_is_refused() -> None:
    async with replica() as server:
        answer = await plain(server, "POST", PATH, content=b'{"input": "\\ud83d"}')
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input")


@pytest.mark.parametrize("how", [{"speed": 1.0}, {"instructions": ""}, {"stream_format": "audio"}])
async def test_what_asks_for_nothing_is_taken(how: Any) -> None:
    async with replica() as server, asking(server) as client:
        assert await say(client, **how)


@pytest.mark.parametrize(
    ("tts", "asked", "voice"),
    [
        ({"provider": "elevenlabs"}, "alloy", ""),
        ({"provider": "elevenlabs"}, {"id": "my-voice"}, "my-voice"),
        ({"provider": "openai"}, "nova", "nova"),
        ({"provider": "local"}, "marin", ""),
    ],
)
async def test_the_voice_is_one_of_the_provider(tts: Any, asked: Any, voice: str) -> None:
    async with replica(agent={"tts": tts}) as server, asking(server) as client:
        said = Voice(server, Began(), piece(1), None)
        await say(client, voice=asked)
        assert said.asked[0][1].voice == voice


async def test_the_local_voice_is_the_only_one() -> None:
    tts = {"provider": "local"}
    async with (
        replica(agent={"tts": tts}) as server,
        asking(server) as client,
        refused(400, "invalid_value", "voice"),
    ):
        await say(client, voice="my-voice")


async def test_a_voice_that_is_not_pcm_says_so() -> None:
    tts = {"provider": "elevenlabs", "output_format": "mp3_22050_32"}
    config = AppConfig.model_validate({"agent": {"tts": tts}})

    async def known() -> list[str]:
        return ["en"]

    async with replica(agent={"tts": tts}) as server, asking(server) as client:
        services = server.ingress._services
        server.ingress._services = replace(services, check=Options(config, known).check)
        async with refused(400, "invalid_value") as said:
            await say(client)
        assert "not pcm" in said["message"]


async def test_conversations_come_first() -> None:
    async with replica() as server, asking(server) as client:
        voice = Voice(server)
        server.script.is_at_ease = False
        async with refused(503, "at_capacity"):
            await say(client)
        assert not voice.asked


async def test_one_client_may_have_so_many_at_once(keys: Path) -> None:
    async with guarded(keys) as server, asking(server, ADA) as client:
        voices, under_way = [], []
        for _ in range(2):
            voices.append(Voice(server))
            under_way.append(asyncio.ensure_future(say(client, response_format="pcm")))
            async with asyncio.timeout(DEADLINE_S):
                await voices[-1].is_asked.wait()
        async with refused(429, "rate_limit_exceeded"):
            await say(client)
        for voice in voices:
            voice.parts.put_nowait(piece(1))
            voice.parts.put_nowait(None)
        assert [len(found) for found in await asyncio.gather(*under_way)] == [2000, 2000]


async def test_a_key_is_needed_where_others_need_one(keys: Path) -> None:
    async with guarded(keys) as server, asking(server, "wrong") as client:
        voice = Voice(server)
        async with refused(401, "invalid_api_key"):
            await say(client)
        assert not voice.asked
