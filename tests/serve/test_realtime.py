"""OpenAI's own Realtime client at a real server, on real models and recorded human speech."""

import asyncio

import numpy as np
import pytest

from serve_app.settings.schema import SttSettings
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.transcriber import WhisperEngine
from tests.ingress.realtime_caller import SENTENCE, Caller, calling
from tests.serve.conftest import Server
from tests.speech import TRANSCRIPTS, word_error_rate

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]

WITHIN_S = 60.0


async def begun(caller: Caller, prompt: str) -> None:
    await caller.send.session.update(session={"type": "realtime", "instructions": prompt})
    await caller.until("session.updated", WITHIN_S)


async def test_the_loop_closes(server: Server) -> None:
    """Human speech in: its transcript is right, and the answer's audio says the answer."""
    async with calling(f"127.0.0.1:{server.port}") as caller:
        await begun(caller, "You are a friendly voice assistant. Answer in two short sentences.")
        speaking = asyncio.create_task(caller.say(SENTENCE, is_live=True))
        kind = "conversation.item.input_audio_transcription.completed"
        transcript = (await caller.until(kind, WITHIN_S))["transcript"]
        done = await caller.until("response.done", WITHIN_S)
        await speaking
    assert word_error_rate(TRANSCRIPTS[SENTENCE], transcript) <= 0.1
    assert done["response"]["status"] == "completed"
    reply = done["response"]["output"][0]["content"][0]["transcript"]
    voice = np.frombuffer(caller.sound, "<i2").astype(np.float32) / 32768
    at_16_khz = np.interp(np.arange(0, len(voice), 1.5), np.arange(len(voice)), voice)
    engine = WhisperEngine(SttSettings(device="cpu"))
    (back,) = engine.transcribe_now([Utterance(at_16_khz[: 30 * 16_000].astype(np.float32))])
    assert word_error_rate(reply, back) <= 0.25, f"{reply!r} was heard as {back!r}"


async def test_a_barge_in_cancels_the_response(server: Server) -> None:
    async with calling(f"127.0.0.1:{server.port}") as caller:
        await begun(caller, "You are a storyteller. Tell long stories, in many sentences.")
        await caller.write("Tell me a long story about the sea, the wind and the old lighthouse.")
        await caller.until("response.output_audio.delta", WITHIN_S)
        speaking = asyncio.create_task(caller.say("librivox_0870", is_live=True))
        await caller.until("input_audio_buffer.speech_started", WITHIN_S)
        cancelled = await caller.until("response.done", WITHIN_S)
        truncated = await caller.until("conversation.item.truncated", WITHIN_S)
        kind = "conversation.item.input_audio_transcription.completed"
        transcript = (await caller.until(kind, WITHIN_S))["transcript"]
        await caller.until("response.output_audio.delta", WITHIN_S)  # the answer is long, too
        await speaking
    assert cancelled["response"]["status_details"]["reason"] == "turn_detected"
    assert truncated["item_id"] == cancelled["response"]["output"][0]["id"]
    assert word_error_rate(TRANSCRIPTS["librivox_0870"], transcript) <= 0.2
