"""The socket of a session: order, bounds and the close frame."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import pytest
from starlette.websockets import WebSocket

from serve_app.conversation import events as ev
from serve_app.errors import ProtocolViolation, TooSlow, VoiceError
from serve_app.ingress.socket import ClientSocket, event_of
from serve_app.protocol.messages import ClientMessage, Token

DEADLINE_S = 5.0
CLOSE = {"type": "websocket.close", "code": 1000, "reason": "bye"}


class Client:
    """The other end of an accepted socket."""

    def __init__(self) -> None:
        self.sends: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.errors: list[VoiceError] = []
        self.socket: ClientSocket

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            message = await self.got.get()
        return message if "bytes" not in message else msgpack.unpackb(message["bytes"])


@asynccontextmanager
async def accepted() -> AsyncIterator[Client]:
    client = Client()
    socket = WebSocket({"type": "websocket"}, client.sends.get, client.got.put)
    client.sends.put_nowait({"type": "websocket.connect"})
    await socket.accept()
    await client.next()
    client.socket = ClientSocket(socket, client.errors.append)
    yield client


async def test_what_is_sent_after_a_barrier_waits_for_it_and_the_close_frame_is_last() -> None:
    safe = asyncio.Event()

    async def until_safe() -> None:
        await safe.wait()

    async with accepted() as client:
        client.socket.send(Token("token001"))
        client.socket.barrier(until_safe)
        client.socket.send(Token("token002"))
        client.socket.close(1000, "bye")
        writer = asyncio.create_task(client.socket.write())
        assert (await client.next())["token"] == "token001"
        await asyncio.sleep(0)
        assert client.got.empty()
        safe.set()
        assert (await client.next())["token"] == "token002"
        assert await client.next() == CLOSE
        await writer


async def test_a_client_that_reads_nothing_is_told_so_at_the_end() -> None:
    async with accepted() as client:
        for _ in range(2000):
            client.socket.send(Token("token001"))
        assert client.errors and all(isinstance(error, TooSlow) for error in client.errors)
        client.socket.close(4508, "x" * 200)
        client.socket.send(Token("token002"))  # too late
        await client.socket.write()
        *_, last = [client.got.get_nowait() for _ in range(client.got.qsize())]
        assert last == {"type": "websocket.close", "code": 4508, "reason": "x" * 123}


async def test_frames_become_events_until_the_client_is_gone_or_wrong() -> None:
    events: list[ev.Event] = []

    async def receive(message: ClientMessage) -> None:
        events.append(event_of(message))

    async with accepted() as client:
        typed = msgpack.packb({"type": "text", "text": "Hello."})
        client.sends.put_nowait({"type": "websocket.receive", "bytes": typed})
        client.sends.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await client.socket.read(receive)
    assert events == [ev.TextReceived("Hello.")]
    async with accepted() as client:
        client.sends.put_nowait({"type": "websocket.receive", "text": "hello"})
        with pytest.raises(ProtocolViolation):
            await client.socket.read(receive)
