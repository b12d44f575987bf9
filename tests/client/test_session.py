"""What the client sends again when it comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import numpy as np
from websockets.asyncio.server import ServerConnection, serve

from serve_app.client.session import EchoSession, converse
from serve_app.protocol.formats import parse_format

FORMAT = parse_format("pcm_16000")
DEADLINE_S = 10.0


def notice(token: str, text_id: int = 0) -> dict[str, Any]:
    fields = {"resume_token": token, "window_s": 60.0, "heard_samples": 0, "text_id": text_id}
    return {"type": "session", **fields}


class SlowSocket:
    """Takes a message when it is let through."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.is_asked = asyncio.Event()
        self.is_open = asyncio.Event()

    async def send(self, frame: bytes) -> None:
        self.is_asked.set()
        await self.is_open.wait()
        self.taken.append(msgpack.unpackb(frame))


def chunk(number: int) -> dict[str, Any]:
    return {"type": "audio", "audio": np.full(512, number, dtype="<f4").tobytes()}


async def test_what_the_microphone_delivers_while_audio_is_sent_again_is_not_dropped() -> None:
    socket = SlowSocket()
    session = EchoSession(socket, FORMAT, resume=True)  # type: ignore[arg-type]
    await session._take(msgpack.packb(notice("one")))
    session._is_connected.clear()
    for number in range(10):
        await session.send(chunk(number))
    coming_back = asyncio.create_task(session._take(msgpack.packb(notice("two"))))
    await socket.is_asked.wait()
    for number in range(10, 20):
        await session.send(chunk(number))
    assert not socket.taken
    socket.is_open.set()
    await coming_back
    await session.send(chunk(20))
    audio = b"".join(message["audio"] for message in socket.taken)
    assert [int(n) for n in np.frombuffer(audio, dtype="<f4")[::512]] == list(range(21))


class Script:
    """A server that dies of each text, until it has no more notices. Keeps what it was sent."""

    def __init__(self, *notices: dict[str, Any]) -> None:
        self._notices = list(notices)
        self.opened: list[dict[str, Any]] = []
        self.texts: list[dict[str, Any]] = []
        self.is_over = asyncio.Event()

    async def __call__(self, socket: ServerConnection) -> None:
        self.opened.append(msgpack.unpackb(await socket.recv()))
        await socket.send(msgpack.packb(self._notices.pop(0)))
        async for frame in socket:
            message = msgpack.unpackb(frame)
            if message["type"] == "close":
                return
            if message["type"] == "text":
                self.texts.append(message)
                if self._notices:
                    socket.transport.abort()
                    return
                self.is_over.set()


@asynccontextmanager
async def talking_to(script: Script) -> AsyncIterator[EchoSession]:
    async with serve(script, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with converse(f"ws://127.0.0.1:{port}", FORMAT, resume=True) as session:
            session.stop_microphone()
            await session.open("Be kind.")
            await session.next("session", timeout_s=DEADLINE_S)
            yield session


async def test_a_text_that_was_typed_into_a_dying_socket_is_sent_again() -> None:
    script = Script(notice("one"), notice("two"), notice("three"))
    async with asyncio.timeout(DEADLINE_S), talking_to(script) as session:
        await session.send({"type": "text", "text": "Hello."})
        await script.is_over.wait()
    assert [message["resume_token"] for message in script.opened[1:]] == ["one", "two"]
    assert script.texts == [{"type": "text", "text": "Hello.", "id": 1}] * 3


async def test_a_text_that_the_server_has_taken_is_not_sent_again() -> None:
    script = Script(notice("one"), notice("two", text_id=1))
    async with asyncio.timeout(DEADLINE_S), talking_to(script) as session:
        await session.send({"type": "text", "text": "Hello."})
        await session.next("session", timeout_s=DEADLINE_S)
        await session.send({"type": "text", "text": "And now?"})
        await script.is_over.wait()
    assert [message["text"] for message in script.texts] == ["Hello.", "And now?"]


class Away:
    """A server that dies of the chunk with this number, and then answers nobody until it may."""

    def __init__(self, dies_of: int) -> None:
        self._dies_of = dies_of
        self._sockets = 0
        self.is_dead = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.heard = b""
        """What came to the second socket."""
        self.is_over = asyncio.Event()

    async def __call__(self, socket: ServerConnection) -> None:
        self._sockets += 1
        is_first = self._sockets == 1
        await socket.recv()
        if not is_first:
            self.is_dead.set()
            await self.may_answer.wait()
        await socket.send(msgpack.packb(notice("first" if is_first else "second")))
        await socket.send(msgpack.packb({"type": "state", "state": "listening"}))
        async for frame in socket:
            message = msgpack.unpackb(frame)
            if message["type"] == "close":
                self.is_over.set()
                return
            if not is_first:
                self.heard += message["audio"]
            elif message == chunk(self._dies_of):
                socket.transport.abort()
                return


async def test_words_that_were_cut_off_survive_an_outage_of_half_a_minute() -> None:
    server = Away(dies_of=99)
    async with asyncio.timeout(DEADLINE_S), serve(server, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with converse(f"ws://127.0.0.1:{port}", FORMAT, resume=True) as session:
            session.stop_microphone()
            await session.open("", greeting=False)
            await session.next("state")
            for number in range(100):
                await session.send(chunk(number))
            await server.is_dead.wait()
            for number in range(100, 1000):
                await session.send(chunk(number))
            server.may_answer.set()
            await session.next("state")
        await server.is_over.wait()
    heard = [int(n) for n in np.frombuffer(server.heard, dtype="<f4")[::512]]
    assert heard == list(range(469)), "15 s, from the first word on"
