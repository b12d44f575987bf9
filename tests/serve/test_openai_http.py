"""OpenAI's HTTP API at a real server, on real models and recorded human speech."""

import io
from pathlib import Path

import pytest
import soundfile
from openai import AsyncOpenAI

from tests.serve.conftest import Server
from tests.speech import TRANSCRIPTS, word_error_rate

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]

CLIPS = Path(__file__).parents[1] / "data" / "speech"
NAME = "librivox_0930"
SENTENCE = "The weather is nice today, and we are going to the river."


def at(server: Server) -> AsyncOpenAI:
    base_url = f"http://127.0.0.1:{server.port}/v1"
    return AsyncOpenAI(api_key="any", base_url=base_url, max_retries=0, timeout=120)


async def test_a_recording_is_transcribed(server: Server) -> None:
    async with at(server) as client:
        found = await client.audio.transcriptions.create(
            model="any", file=CLIPS / f"{NAME}.wav", response_format="verbose_json"
        )
    assert word_error_rate(TRANSCRIPTS[NAME], found.text) <= 0.1
    assert found.language == "english" and found.segments and found.segments[0].text == found.text


async def test_what_is_said_can_be_understood(server: Server) -> None:
    """From text to speech, and back; the speech as OpenAI's client has streamed it."""
    async with at(server) as client:
        asked = client.audio.speech.with_streaming_response.create(
            model="any", voice="alloy", input=SENTENCE, response_format="wav"
        )
        async with asked as answer:
            wav = b"".join([chunk async for chunk in answer.iter_bytes()])
        samples, rate_hz = soundfile.read(io.BytesIO(wav))
        assert rate_hz == 24_000 and 2 < len(samples) / rate_hz < 8
        found = await client.audio.transcriptions.create(model="any", file=("said.wav", wav))
    assert word_error_rate(SENTENCE, found.text) <= 0.1


async def test_the_models_are_named_and_keys_are_made(server: Server) -> None:
    async with at(server) as client:
        names = [model.id async for model in client.models.list()]
        assert "whisper-tiny.en" in names and "heart" in names
        assert (await client.realtime.client_secrets.create()).value
