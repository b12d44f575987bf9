"""A client that does not read, at the web server that Serve uses: what it is sent waits in
`ClientSocket`, and not somewhere below, where nobody knows how much it is."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgpack
import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from serve_app.errors import TooSlow, VoiceError
from serve_app.ingress import socket as socket_module
from serve_app.ingress.guarded_socket import install
from serve_app.ingress.socket import ClientSocket
from serve_app.protocol.messages import AgentAudio, Interrupt
from serve_app.settings.socket_limits import SocketLimits
from tests.ingress.raw_client import SMALL, connected
from tests.ingress.served import running

DEADLINE_S = 20.0
PIECE = AgentAudio("token001", bytes(44_100))
"""Half a second."""
PIECES = 100
CLOSE_S = 0.2


class Server:
    """Sends a long reply at once."""

    def __init__(self) -> None:
        self.errors: list[VoiceError] = []
        self.backlogs: list[int] = []
        self.has_sent = asyncio.Event()
        self.client: ClientSocket
        self.connections: set[Any] = set()
        self.has_written = asyncio.Event()

    async def talk(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.client = ClientSocket(websocket, self.errors.append, self.backlogs.append)
        for _ in range(PIECES):
            self.client.send(PIECE)
        self.has_sent.set()
        await self.client.write()
        self.has_written.set()


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    install(SocketLimits(close_s=CLOSE_S), message_bytes=1 << 20)
    app = Starlette(routes=[WebSocketRoute("/", server.talk)])
    async with running(app, are_willing=False) as (port, web):
        server.connections = web.server_state.connections
        yield f"ws://127.0.0.1:{port}/"


@asynccontextmanager
async def reading_slowly(url: str) -> AsyncIterator[ClientConnection]:
    """Reads nothing until it is asked for a message."""
    with socket.socket() as plug:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        host, port = url.removeprefix("ws://").rstrip("/").split(":")
        await asyncio.to_thread(plug.connect, (host, int(port)))
        async with connect(url, sock=plug, max_queue=1, compression=None) as client:
            yield client


async def test_an_interrupt_overtakes_what_a_client_has_not_read() -> None:
    server = Server()
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(server) as url,
        reading_slowly(url) as client,
    ):
        await server.has_sent.wait()
        before = await settled(server)
        server.client.send(Interrupt("token002"))
        server.client.close(1000, "bye")
        kinds = [msgpack.unpackb(frame)["type"] async for frame in client]
    assert before > PIECES // 2, "most of it waits here"
    in_writing = 1
    assert kinds == ["audio"] * (PIECES - before + in_writing) + ["interrupt"]
    assert not server.errors


async def settled(server: Server) -> int:
    """How many messages wait once no more of them are written."""
    while True:
        server.client.tell_backlog()
        before = len(server.backlogs)
        await asyncio.sleep(0.2)
        server.client.tell_backlog()
        if len(server.backlogs) == before:
            return server.backlogs[-1]


async def closed_as_too_slow(server: Server) -> None:
    """As a driver does it that is told that the client does not read."""
    while not server.errors:  # noqa: ASYNC110 - it is told in a list
        await asyncio.sleep(0.02)
    server.client.close(server.errors[0].close_code, str(server.errors[0]))


async def test_a_client_that_never_reads_is_cut_off_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The close frame waited until the client had read what was sent before: for ever."""
    monkeypatch.setattr(socket_module, "_STUCK_S", CLOSE_S)
    server = Server()
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(server) as url,
        connected(int(url.rstrip("/").split(":")[-1]), "/", SMALL),
    ):
        await closed_as_too_slow(server)
        await server.has_written.wait()
        while server.connections:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.02)
    assert {type(error) for error in server.errors} == {TooSlow}


async def test_who_begins_to_read_again_sees_why_it_was_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket_module, "_STUCK_S", CLOSE_S)
    server = Server()
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(server) as url,
        reading_slowly(url) as client,
    ):
        await closed_as_too_slow(server)
        with suppress(ConnectionClosed):
            async for _ in client:
                pass
        assert client.close_code == 4508
