"""Clients that mean harm. Each does its worst on a socket, and again on another one when that is
closed, until it is cancelled; the codes with which its sockets were closed are counted."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import msgpack
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bench.providers import STORY_PROMPT
from tests.ingress.floods import FLOODS
from tests.ingress.raw_client import OPEN, SMALL, RawClient, connected, message

_IDLE_SOCKETS = 100
_PAUSE_S = 0.05
"""Between two sockets. Whoever comes more often is a matter of the connections of an address."""
Closes = Counter[int]
Hostile = Callable[[int, Closes], Awaitable[None]]


def _flood(data: bytes, is_reading: bool = True) -> Hostile:
    async def flood(port: int, closes: Closes) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with connected(port, buffer_bytes=0 if is_reading else SMALL) as client:
                    client.send(OPEN)
                    await _until_closed(client, data, is_reading, closes)
            await asyncio.sleep(_PAUSE_S)

    return flood


async def _until_closed(client: RawClient, data: bytes, is_reading: bool, closes: Closes) -> None:
    flooding = asyncio.create_task(client.flood(data))
    try:
        if is_reading:
            closes[await client.close_code(None)] += 1
        else:
            await flooding
            closes[1006] += 1
    finally:
        flooding.cancel()


async def _never_open(port: int, closes: Closes) -> None:
    async def wait() -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with connected(port) as client:
                    closes[await client.close_code(None)] += 1

    await asyncio.gather(*(wait() for _ in range(_IDLE_SOCKETS)))


async def _wait_then_click(port: int, closes: Closes) -> None:
    """Not hostile: the page of Echo's own client, on which somebody clicks after 33 s."""
    async with connect(f"ws://127.0.0.1:{port}/conversation", max_size=None) as socket:
        await asyncio.sleep(33)
        try:
            await socket.send(msgpack.packb({"type": "open", "prompt": STORY_PROMPT}))
            await socket.recv()
            closes[0] += 1
        except ConnectionClosed as error:
            closes[error.rcvd.code if error.rcvd else 1006] += 1
        await asyncio.Event().wait()


async def _never_read(port: int, closes: Closes) -> None:
    """Reads again at the end, to see what there is."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connected(port, buffer_bytes=SMALL))
        client.send(message(type="open", prompt=STORY_PROMPT))
        await asyncio.sleep(60)
        closes[await client.close_code(None)] += 1
        await asyncio.Event().wait()


HOSTILE: dict[str, tuple[Hostile, float]] = {
    "pings back to back": (_flood(FLOODS["pings"]), 15),
    "pings, pongs not read": (_flood(FLOODS["pings with a payload"], is_reading=False), 15),
    "pongs nobody asked for": (_flood(FLOODS["pongs"]), 15),
    "empty continuation frames": (_flood(FLOODS["empty continuation frames"]), 15),
    "text of 32 KiB": (_flood(message(type="text", text="a" * (32 << 10)) * 10), 15),
    "audio as fast as it goes": (_flood(message(type="audio", audio=bytes(64_000)) * 20), 15),
    "100 sockets without open": (_never_open, 15),
    "opens after 33 s": (_wait_then_click, 36),
    "never reads a long reply": (_never_read, 65),
}
"""By name, and for how many seconds."""
