"""A conversation over a real socket, on real models and recorded human speech."""

import asyncio

import msgpack
import numpy as np
import pytest
from websockets.asyncio.client import connect

from serve_app.agent.tts.resample import PcmResampler
from serve_app.client.playback import Received
from serve_app.client.session import EchoSession, converse
from serve_app.client.speech import trim
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import EVENTS, Samples
from serve_app.settings.schema import SttSettings
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.transcriber import WhisperEngine
from tests.serve.conftest import Server
from tests.speech import TRANSCRIPTS, clip, word_errors, words

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]

SENTENCE = "librivox_0930"
FORMAT = parse_format("pcm_44100")
PROMPT = "You are a friendly voice assistant. Answer in one or two short sentences."


async def said(session: EchoSession, role: str) -> str:
    """The next transcript of the user or the agent."""
    while (fields := (await session.next("transcript")).fields)["role"] != role:
        pass
    return str(fields["text"])


async def finish(session: EchoSession) -> str:
    """What the agent said until it waits for the user."""
    text = await said(session, "agent")
    while (await session.next("state")).fields["state"] != "waiting":
        pass
    return text


def error_rate(reference: str, heard: str) -> float:
    return word_errors(reference, heard) / len(words(reference))


def heard(pcm: bytes) -> Samples:
    """The agent's voice as a microphone at 16 kHz would take it."""
    audio = PcmResampler(FORMAT.rate_hz, 16_000).push(pcm, last=True)
    return np.frombuffer(audio, dtype="<i2").astype(np.float32) / 32768


def tokens(messages: list[Received], *kinds: str) -> list[str]:
    return [message.token for message in messages if message.kind in kinds]


async def test_the_loop_closes(server: Server) -> None:
    """Human speech in: its transcript is right, and the answer's audio says the answer."""
    async with converse(server.url, FORMAT) as session:
        await session.open(PROMPT, EVENTS)
        await finish(session)
        before = len(session.playback.heard)
        await session.say(trim(clip(SENTENCE)))
        transcript = await said(session, "user")
        reply = await finish(session)
        voice = heard(bytes(session.playback.heard[before:]))
    assert error_rate(TRANSCRIPTS[SENTENCE], transcript) <= 0.1
    engine = WhisperEngine(SttSettings(device="cpu"))
    (back,) = engine.transcribe_now([Utterance(voice[: 30 * 16_000])])
    assert error_rate(reply, back) <= 0.25, f"{reply!r} was heard as {back!r}"


async def test_nothing_dead_is_sent_after_an_interrupt(server: Server) -> None:
    async with converse(server.url, FORMAT) as session:
        await session.open(PROMPT, EVENTS)
        await session.next("audio")
        start_s, _ = await session.say(trim(clip("librivox_0870")))
        interrupt = await session.next("interrupt")
        await said(session, "user")
        await finish(session)
        messages = session.received
    at = messages.index(interrupt)
    assert set(tokens(messages[at:], "audio")) == {interrupt.token}
    assert interrupt.token not in tokens(messages[:at], "audio")
    assert session.playback.stale_chunks == 0
    assert interrupt.at_s > start_s


async def test_a_plain_echo_client_sees_echo_messages_only(server: Server) -> None:
    """Like Echo's example client: its path, its chunks of 2048 samples, no extensions."""
    async with connect(f"{server.url}/websocket", max_size=None) as socket:
        await socket.send(msgpack.packb({"type": "open", "prompt": PROMPT}))
        await socket.send(msgpack.packb({"type": "open", "prompt": "Say nothing."}))
        speech = np.concatenate((np.zeros(8000, dtype="<f4"), clip("librivox_0880")))
        kinds, greeted = [], False
        async for frame in socket:
            message = msgpack.unpackb(frame)
            kinds.append(message["type"])
            if message["type"] == "audio" and not greeted:
                greeted = True
                for start in range(0, len(speech), 2048):
                    audio = speech[start : start + 2048].astype("<f4").tobytes()
                    await socket.send(msgpack.packb({"type": "audio", "audio": audio}))
            if message["type"] == "interrupt":
                break
        await socket.send(msgpack.packb({"type": "close"}))
    assert set(kinds) == {"token", "audio", "interrupt"}
    assert kinds.count("token") == 1, "the second open was ignored"


async def test_a_typed_conversation_with_the_clients_own_greeting(server: Server) -> None:
    async with converse(server.url, FORMAT) as session:
        await session.open(PROMPT, EVENTS, greeting="Welcome to the library.")
        assert await finish(session) == "Welcome to the library."
        voice = heard(bytes(session.playback.heard))
        await session.send({"type": "text", "text": "Tell me about the sea."})
        assert await said(session, "user") == "Tell me about the sea."
        audio = await session.next("audio")
        await session.send({"type": "played", "token": audio.token, "played_ms": 0})
        await session.send({"type": "interrupt"})
        interrupt = await session.next("interrupt")
        while (await session.next("state")).fields["state"] != "waiting":
            pass
        at = session.received.index(interrupt)
    assert not tokens(session.received[at:], "audio")
    (back,) = WhisperEngine(SttSettings(device="cpu")).transcribe_now([Utterance(voice)])
    assert error_rate("welcome to the library", back) <= 0.25


async def test_a_client_has_its_own_sample_rate(server: Server) -> None:
    async with converse(server.url, parse_format("pcm_16000")) as session:
        await session.open(PROMPT, EVENTS, greeting="Welcome to the library.", sample_rate_hz=16000)
        await finish(session)
        voice = np.frombuffer(bytes(session.playback.heard), dtype="<i2") / np.float32(32768)
    (back,) = WhisperEngine(SttSettings(device="cpu")).transcribe_now([Utterance(voice)])
    assert error_rate("welcome to the library", back) <= 0.25


async def test_a_client_may_want_the_first_word(server: Server) -> None:
    async with converse(server.url, FORMAT) as session:
        await session.open(PROMPT, EVENTS, greeting=False)
        await session.say(trim(clip("go_forward")))
        first = await session.next("transcript", "audio")
    assert first.kind == "transcript" and first.fields["role"] == "user"


@pytest.mark.parametrize("samples", [1, 100, 5000, 100_000])
async def test_audio_of_any_chunk_size_is_taken(server: Server, samples: int) -> None:
    speech = np.concatenate((np.zeros(4000), trim(clip("go_forward")), np.zeros(16_000)))
    if samples == 1:
        speech = speech[:2000]
    async with converse(server.url, FORMAT) as session:
        await session.open(PROMPT, EVENTS)
        await finish(session)
        session.stop_microphone()
        for start in range(0, len(speech), samples):
            audio = speech[start : start + samples].astype("<f4").tobytes()
            await session.send({"type": "audio", "audio": audio})
        if samples > 1:
            transcript = await said(session, "user")
            assert error_rate(TRANSCRIPTS["go_forward"], transcript) <= 0.25
        else:
            await session.send({"type": "close"})


async def test_sessions_do_not_mix(server: Server) -> None:
    """Three at once, each with its own speech: each gets its own words back."""
    server.wait_until_idle()
    # tiny.en gets these clips right on every CPU; with VNNI, "ill disposed" becomes "old-sposed".
    names = ("librivox_0920", "librivox_0930", "librivox_0890")

    async def ask(name: str) -> str:
        async with converse(server.url, FORMAT) as session:
            await session.open(PROMPT, EVENTS)
            await finish(session)
            await session.say(trim(clip(name)))
            return await said(session, "user")

    texts = await asyncio.gather(*(ask(name) for name in names))
    for name, text in zip(names, texts, strict=True):
        assert error_rate(TRANSCRIPTS[name], text) <= 0.2, f"{name}: {text}"
