"""The client for programs, and `echo-serve talk`, with a server that follows a script."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from serve_app.client.conversation import Conversation, ConversationClosed, connect
from serve_app.client.playback import Received
from serve_app.client.speech import read_wav, write_wav
from serve_app.client.talk import ANSWERED, UNANSWERED, Plan, talk
from serve_app.client.typed import typed
from serve_app.errors import ConfigError
from serve_app.protocol.messages import AgentAudio, Interrupt, StateChanged, Transcript

Answer = Callable[["Server", dict[str, Any]], Awaitable[None]]
VOICE_MS = 100
VOICE = bytes(24 * 2 * VOICE_MS)


class Server:
    """One socket; answers each message as it is told to."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.received: list[dict[str, Any]] = []
        self.socket: ServerConnection

    async def __call__(self, socket: ServerConnection) -> None:
        self.socket = socket
        async for frame in socket:
            message = msgpack.unpackb(frame)
            self.received.append(message)
            if message["type"] == "close":
                return
            await self._answer(self, message)

    async def send(self, **fields: Any) -> None:
        await self.socket.send(msgpack.packb(fields))

    async def reply(self, text: str) -> None:
        await self.send(type="state", state="replying")
        await self.send(type="token", token="00000001")
        await self.send(type="audio", audio=b"00000001" + VOICE)
        await self.send(type="transcript", turn=1, role="agent", text=text)
        await self.send(type="state", state="waiting")

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.received if message["type"] == kind]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[Server, str]]:
    server = Server(answer)
    async with serve(server, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield server, f"ws://127.0.0.1:{port}/conversation"


async def polite(server: Server, message: dict[str, Any]) -> None:
    match message:
        case {"type": "open", "greeting": False}:
            await server.send(type="session", resume_token="t", window_s=60.0, heard_samples=0)
        case {"type": "open"}:
            await server.reply("Hello.")
        case {"type": "text", "text": text}:
            await server.send(type="transcript", turn=1, role="user", text=text)
            await server.reply("Yes.")


async def until(conversation: Conversation, role: str) -> str:
    async for message in conversation:
        match message:
            case Transcript(_, found, text) if found == role:
                return text
    raise AssertionError("the conversation is over")


async def test_five_lines() -> None:
    async with (
        serving(polite) as (server, url),
        connect(url, prompt="You are Ada.") as conversation,
    ):
        assert await until(conversation, "agent") == "Hello."
        await conversation.type("Who are you?")
        assert await until(conversation, "user") == "Who are you?"
        assert await until(conversation, "agent") == "Yes."
    (opened,) = server.sent("open")
    assert opened["prompt"] == "You are Ada." and opened["sample_rate_hz"] == 24_000
    assert opened["resume"] is True and server.received[-1] == {"type": "close"}


class Loud:
    """A loudspeaker that remembers."""

    def __init__(self) -> None:
        self.played = bytearray()
        self.stops = 0

    def play(self, audio: bytes) -> None:
        self.played += audio

    def stop(self) -> None:
        self.stops += 1


async def test_a_loudspeaker_is_told_to_stop_at_once() -> None:
    async def answer(server: Server, message: dict[str, Any]) -> None:
        if message["type"] == "open":
            await server.reply("Hello.")
            await server.send(type="interrupt", token="00000002")

    loud = Loud()
    async with serving(answer) as (_, url), connect(url, loudspeaker=loud) as conversation:
        async for message in conversation:
            if isinstance(message, Interrupt):
                break
        assert bytes(loud.played) == VOICE and loud.stops == 1


async def test_microphone_audio_goes_out_as_float32() -> None:
    async with serving(polite) as (server, url), connect(url, greeting=False) as conversation:
        await conversation.send_audio(np.array([0.25, -0.5]))
        await conversation.interrupt()
    (audio,) = server.sent("audio")
    assert np.frombuffer(audio["audio"], dtype="<f4").tolist() == [0.25, -0.5]
    assert server.sent("interrupt")


async def test_a_server_that_is_not_there_and_one_that_refuses() -> None:
    async def refuse(server: Server, message: dict[str, Any]) -> None:
        await server.socket.close(4400, "open: 'voice': no such voice")

    with pytest.raises(ConversationClosed, match="no conversation at ws"):
        async with connect("ws://127.0.0.1:1/"):
            pass
    async with serving(refuse) as (_, url), connect(url) as conversation:
        with pytest.raises(ConversationClosed, match="no such voice") as caught:
            await until(conversation, "agent")
    assert caught.value.code == 4400


def test_what_a_newer_server_says_is_passed_over() -> None:
    assert typed(Received(0.0, "mood", {"mood": "good"})) is None
    newer = Received(0.0, "state", {"state": "waiting", "since_ms": 3})
    assert typed(newer) == StateChanged("waiting")
    assert typed(Received(0.0, "audio", {"audio": b"00000001ab"})) == AgentAudio("00000001", b"ab")


# --- talk ---


async def talked(plan: Plan) -> tuple[int, list[str]]:
    lines: list[str] = []
    return await talk(plan, lambda line, style: lines.append(line)), lines


async def test_talk_types_and_tells_and_records(tmp_path: Path) -> None:
    out = tmp_path / "heard.wav"
    async with serving(polite) as (_, url):
        status, lines = await talked(Plan(url, texts=["Who are you?", "And now?"], out=out))
    assert status == ANSWERED
    assert [line.split(maxsplit=1) for line in lines if line.strip()] == [
        ["agent", "Hello."],
        ["you", "Who are you?"],
        ["agent", "Yes."],
        ["you", "And now?"],
        ["agent", "Yes."],
    ]
    assert out.exists()


async def test_talk_says_recordings(tmp_path: Path) -> None:
    async def answer(server: Server, message: dict[str, Any]) -> None:
        loud = message["type"] == "audio" and np.frombuffer(message["audio"], "<f4").max() > 0.3
        if loud and not server.sent("said"):
            server.received.append({"type": "said"})
            await server.reply("Yes.")

    wav = tmp_path / "said.wav"
    tone = (np.sin(np.arange(8000) / 5) * 16_000).astype("<i2")
    write_wav(wav, tone.tobytes(), 16_000)
    assert len(read_wav(wav)) == 8000
    async with serving(answer) as (_, url):
        status, lines = await talked(Plan(url, greets=False, wavs=[wav], as_json=True))
    assert status == ANSWERED
    said = [json.loads(line) for line in lines]
    (told,) = [line for line in said if line["type"] == "transcript"]
    assert (told["role"], told["text"]) == ("agent", "Yes.")


async def test_talk_fails_without_an_answer() -> None:
    async def hang_up(server: Server, message: dict[str, Any]) -> None:
        if message["type"] == "text":
            await server.socket.close(1000)
        else:
            await polite(server, message)

    async with serving(hang_up) as (_, url):
        status, _ = await talked(Plan(url, greets=False, texts=["Hello?"]))
    assert status == UNANSWERED


async def test_a_file_that_cannot_be_said_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "notes.wav"
    wrong.write_text("no audio")
    for path in (wrong, tmp_path / "missing.wav"):
        with pytest.raises(ConfigError, match=path.name):
            await asyncio.wait_for(talk(Plan("ws://127.0.0.1:1/", wavs=[path]), print), 10)
