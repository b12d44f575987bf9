"""A client that does not read, at the web server that Serve uses: what it is sent waits in
`ClientSocket`, and not somewhere below, where nobody knows how much it is."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgpack
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect

from serve_app.errors import VoiceError
from serve_app.ingress.socket import ClientSocket
from serve_app.protocol.messages import AgentAudio, Interrupt

DEADLINE_S = 20.0
PIECE = AgentAudio("token001", bytes(44_100))
"""Half a second."""
PIECES = 100
SMALL = 16_384
"""Of the buffers in the kernel, which would otherwise hold seconds of audio."""


class Server:
    """Sends a long reply at once."""

    def __init__(self) -> None:
        self.errors: list[VoiceError] = []
        self.backlogs: list[int] = []
        self.has_sent = asyncio.Event()
        self.client: ClientSocket

    async def talk(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.client = ClientSocket(websocket, self.errors.append, self.backlogs.append)
        for _ in range(PIECES):
            self.client.send(PIECE)
        self.has_sent.set()
        await self.client.write()


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    app = Starlette(routes=[WebSocketRoute("/", server.talk)])
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        web = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level=None, log_config=None))
        running = asyncio.create_task(web.serve(sockets=[listening]))
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}/"
        web.should_exit = web.force_exit = True
        await running


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
