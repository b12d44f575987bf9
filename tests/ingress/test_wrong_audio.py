"""A microphone that sends the wrong format, over the real wire: the client is told once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import numpy as np
import pytest
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.ingress.driver import Driver
from tests.ingress.driven import DEADLINE_S, Replica
from tests.ingress.served import served
from tests.speech import clip

OPEN = {"type": "open", "prompt": "Be kind.", "greeting": False, "events": ["error"]}
SPEECH = np.resize(clip("librivox_0870"), 4 * SAMPLE_RATE_HZ)


@pytest.fixture
async def socket() -> AsyncIterator[ClientConnection]:
    replica = Replica()
    running = asyncio.create_task(replica.services.batcher.run())

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        driver = Driver("a", socket, replica.services, replica.settings)
        await driver.run(open_timeout_s=30.0)

    async with (
        served([WebSocketRoute("/", talk)]) as address,
        connect(f"ws://{address}/", proxy=None) as socket,
    ):
        yield socket
    running.cancel()


async def say(socket: ClientConnection, data: bytes) -> None:
    for start in range(0, len(data), 8192):
        await socket.send(msgpack.packb({"type": "audio", "audio": data[start : start + 8192]}))


async def events(socket: ClientConnection) -> list[dict[str, Any]]:
    """All that the server sends until it has closed."""
    await socket.send(msgpack.packb({"type": "close"}))
    async with asyncio.timeout(DEADLINE_S):
        return [msgpack.unpackb(frame) async for frame in socket]


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        ((SPEECH * 32767).astype("<i2").tobytes(), "looks like int16: send little-endian float32"),
        (SPEECH.astype("<f8").tobytes(), "looks like float64"),
        (SPEECH.astype(">f4").tobytes(), "looks like big-endian float32"),
    ],
    ids=["int16", "float64", "big-endian"],
)
async def test_the_client_is_told_once_what_to_do(
    socket: ClientConnection, data: bytes, advice: str
) -> None:
    await socket.send(msgpack.packb(OPEN))
    await say(socket, data)
    await say(socket, data)
    (error,) = await events(socket)
    assert (error["type"], error["stage"]) == ("error", "audio")
    assert advice in error["message"]


async def test_nothing_is_said_of_right_audio_nor_of_what_comes_before_open(
    socket: ClientConnection,
) -> None:
    await say(socket, (SPEECH * 32767).astype("<i2").tobytes())
    await socket.send(msgpack.packb(OPEN))
    await say(socket, SPEECH.astype("<f4").tobytes())
    assert await events(socket) == []
