"""A client that sends far more than a conversation needs, at the web server that Serve uses, with
Serve's own queue in between: it is slowed down, and then closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgpack
import pytest
from ray.serve._private.direct_ingress_http_util import ASGIDIReceiveProxy
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from serve_app.errors import TooFast
from serve_app.ingress.socket import ClientSocket
from serve_app.protocol.messages import Audio, ClientMessage, Text
from serve_app.settings.limits import AUDIO_BYTES_PER_S, MessageLimits
from tests.ingress.served import served

DEADLINE_S = 30.0
LIMITS = MessageLimits(burst_s=16, patience_s=1.0)
CHUNK = msgpack.packb({"type": "audio", "audio": bytes(AUDIO_BYTES_PER_S // 2)})
"""Half a second."""
LONG_TEXT = msgpack.packb({"type": "text", "text": "x" * LIMITS.text_bytes})
KERNEL_S = 120.0
"""Audio that the buffers of both ends may hold, in seconds: 8 MB."""


class Server:
    """Takes what it is sent, behind the queue that Serve puts before it, or without one."""

    def __init__(self, is_behind_serve: bool) -> None:
        self._is_behind_serve = is_behind_serve
        self.audio_s = 0.0
        self.texts = 0
        self.most_waiting = 0
        self._proxy: ASGIDIReceiveProxy | None = None

    async def route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_behind_serve:
            return await self._hold(WebSocket(scope, receive, send))
        loop = asyncio.get_running_loop()
        self._proxy = proxy = ASGIDIReceiveProxy(scope, receive, loop)
        reading = proxy.fetch_until_disconnect_task()
        try:
            await self._hold(WebSocket(scope, proxy, send))
        finally:
            reading.cancel()

    async def _hold(self, websocket: WebSocket) -> None:
        await websocket.accept()
        client = ClientSocket(websocket, lambda _: None, lambda _: None, LIMITS)
        try:
            await client.read(self._take)
        except TooFast as error:
            client.close(error.close_code, str(error))
            await client.write()

    async def _take(self, message: ClientMessage) -> None:
        if isinstance(message, Audio):
            self.audio_s += 4 * len(message.samples) / AUDIO_BYTES_PER_S
        self.texts += isinstance(message, Text)
        if self._proxy is not None:
            self.most_waiting = max(self.most_waiting, self._proxy.queue.qsize())


@asynccontextmanager
async def flooding(server: Server) -> AsyncIterator[ClientConnection]:
    route = WebSocketRoute("/", server.route)
    route.app = server.route
    async with (
        asyncio.timeout(DEADLINE_S),
        served([route]) as address,
        connect(f"ws://{address}/", compression=None) as client,
    ):
        yield client


async def sent_before_the_close(client: ClientConnection, frame: bytes) -> int:
    count = 0
    try:
        while True:
            await client.send(frame)
            count += 1
    except ConnectionClosed:
        return count


@pytest.mark.parametrize("is_behind_serve", [False, True], ids=["uvicorn", "serve"])
async def test_a_flood_of_audio_is_slowed_and_then_closed(is_behind_serve: bool) -> None:
    server = Server(is_behind_serve)
    async with flooding(server) as client:
        sent_s = 0.5 * await sent_before_the_close(client, CHUNK)
        assert client.close_code == 4429 and client.close_reason.startswith("slow down: more audio")
    most_s = LIMITS.burst_s + LIMITS.real_time * (LIMITS.patience_s + 1)
    assert LIMITS.burst_s <= server.audio_s <= most_s
    assert sent_s <= most_s + KERNEL_S, "the client had to wait"
    assert server.most_waiting <= 256 * 1024 // len(CHUNK) + 2, "and nothing piled up in between"


async def test_a_flood_of_texts_costs_few_replies() -> None:
    """Each would have interrupted the agent, and asked it for another answer."""
    server = Server(is_behind_serve=True)
    async with flooding(server) as client:
        await sent_before_the_close(client, LONG_TEXT)
        assert client.close_code == 4429
    assert server.texts <= LIMITS.text_burst_bytes // LIMITS.text_bytes


async def test_a_client_that_catches_up_is_not_slowed() -> None:
    server = Server(is_behind_serve=True)
    async with flooding(server) as client:
        for _ in range(30):
            await client.send(CHUNK)
        await client.close()
    assert server.audio_s == 15.0
