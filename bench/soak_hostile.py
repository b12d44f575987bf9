"""Callers of the soak who do not play by the rules: each visit is short, and one after the other.

They come from another address than the callers who do, as strangers would.
"""

import asyncio
import math
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from bench import providers
from bench.frame_bombs import BOMBS
from tests.ingress.raw_client import SMALL

_FROM = ("127.0.0.2", 0)
_PAUSES_S = (0.1, 0.8)
"""Between two visits of one caller."""
_WITHIN_S = 10.0
_BIG_BYTES = 1 << 21

Visit = Callable[[str, random.Random], Awaitable[str]]


@dataclass
class Visits:
    """What they did, and what the server said."""

    said: Counter[str] = field(default_factory=Counter)
    """By visit and close code, such as `garbage 1007`; without a code, what the caller did."""

    @property
    def total(self) -> int:
        return self.said.total()


async def pester(url: str, callers: int, seconds: float, visits: Visits) -> None:
    """All hostile callers, for so long."""
    ends_at_s = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(_come_again(url, random.Random(number), ends_at_s, visits))


async def _come_again(url: str, by: random.Random, ends_at_s: float, visits: Visits) -> None:
    while time.monotonic() < ends_at_s:
        visit = by.choice(VISITS)
        try:
            async with asyncio.timeout(_WITHIN_S):
                said = await visit(url, by)
        except (OSError, TimeoutError, WebSocketException) as error:
            said = type(error).__name__
        visits.said[f"{visit.__name__.replace('_', ' ')}: {said}"] += 1
        await asyncio.sleep(by.uniform(*_PAUSES_S))


# --- what one visit does; each returns what the server said ---


async def garbage(url: str, by: random.Random) -> str:
    """Bytes that are no MessagePack."""
    return await _send_and_hear(url, by.randbytes(by.randint(1, 2000)))


async def broken_message(url: str, by: random.Random) -> str:
    """An `open`, with a byte changed or its end cut off."""
    message = bytearray(_opening(providers.PROMPT))
    at = by.randrange(len(message))
    if by.random() < 0.5:
        message[at] ^= 1 << by.randrange(8)
    else:
        del message[at:]
    return await _send_and_hear(url, bytes(message))


async def text_frame(url: str, by: random.Random) -> str:
    return await _send_and_hear(url, "hello")


async def big_frame(url: str, by: random.Random) -> str:
    return await _send_and_hear(url, bytes(_BIG_BYTES))


async def bomb(url: str, by: random.Random) -> str:
    """Arrays in arrays, each of which claims to be long."""
    return await _send_and_hear(url, BOMBS["arrays that claim 60,000 items"])


async def guessed_token(url: str, by: random.Random) -> str:
    """With the shape of one, so that the session actors are asked for it."""
    token = f"{by.randbytes(16).hex()}.{by.randbytes(32).hex()}"
    guess = {"type": "open", "prompt": "", "resume_token": token}
    return await _send_and_hear(url, msgpack.packb(guess))


async def not_a_number(url: str, by: random.Random) -> str:
    """Audio of NaN and infinities, then the socket is dropped."""
    wrong = struct.pack("<512f", *by.choices((math.nan, math.inf, -math.inf, 1e38), k=512))
    return await _talk_and_vanish(url, msgpack.packb({"type": "audio", "audio": wrong}))


async def vanish(url: str, by: random.Random) -> str:
    """Asks something, and is gone without a close frame before the answer ends."""
    return await _talk_and_vanish(url, msgpack.packb({"type": "text", "text": "Hello?"}))


async def pings(url: str, by: random.Random) -> str:
    async with _connected(url) as client:
        await client.send(_opening(providers.PROMPT))
        for _ in range(100):
            await client.ping()
        client.transport.abort()
    return "left"


async def never_open(url: str, by: random.Random) -> str:
    async with _connected(url) as client:
        await asyncio.sleep(by.uniform(0.5, 4.0))
        client.transport.abort()
    return "left"


async def half_a_request(url: str, by: random.Random) -> str:
    at = urlsplit(url)
    _, writer = await asyncio.open_connection(at.hostname, at.port, local_addr=_FROM)
    writer.write(b"GET /conversation HTT")
    await asyncio.sleep(by.uniform(0.5, 4.0))
    writer.transport.abort()
    return "left"


async def does_not_read(url: str, by: random.Random) -> str:
    """Asks for a story, and reads none of it."""
    at = urlsplit(url)
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    narrow.setblocking(False)
    narrow.bind(_FROM)
    await asyncio.get_running_loop().sock_connect(narrow, (at.hostname, at.port))
    async with connect(url, sock=narrow, compression=None, max_queue=1, proxy=None) as client:
        await client.send(_opening(providers.STORY_PROMPT))
        client.transport.pause_reading()
        await asyncio.sleep(by.uniform(2.0, 6.0))
        client.transport.abort()
    return "left"


VISITS: list[Visit] = [
    garbage, broken_message, text_frame, big_frame, bomb, guessed_token, not_a_number, vanish,
    pings, never_open, half_a_request, does_not_read,
]  # fmt: skip


def _connected(url: str) -> connect:
    return connect(url, max_size=None, compression=None, proxy=None, local_addr=_FROM)


def _opening(prompt: str) -> bytes:
    return bytes(msgpack.packb({"type": "open", "prompt": prompt}))


async def _send_and_hear(url: str, frame: bytes | str) -> str:
    """The close code."""
    async with _connected(url) as client:
        try:
            await client.send(frame)
            async with asyncio.timeout(2.0):
                async for _ in client:
                    pass
        except (ConnectionClosed, TimeoutError):
            pass
        return str(client.close_code or "left")


async def _talk_and_vanish(url: str, frame: bytes) -> str:
    async with _connected(url) as client:
        await client.send(_opening(providers.PROMPT))
        await client.send(frame)
        await _hear_a_little(client)
        client.transport.abort()
        return str(client.close_code or "left")


async def _hear_a_little(client: ClientConnection) -> None:
    try:
        async with asyncio.timeout(1.0):
            async for _ in client:
                pass
    except (ConnectionClosed, TimeoutError):
        pass
