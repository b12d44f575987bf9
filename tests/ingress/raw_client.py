"""A WebSocket client that keeps to no rules: it sends whatever bytes it is told to."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import msgpack

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
DEADLINE_S = 20.0
SMALL = 16_384
"""Of the kernel's buffers, which would otherwise hold megabytes for a client that does not read."""
_MASK = b"\x01\x02\x03\x04"
_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


@dataclass(frozen=True, slots=True)
class Frame:
    opcode: int
    data: bytes

    @property
    def close_code(self) -> int:
        return int.from_bytes(self.data[:2], "big")


def frame(
    opcode: int, data: bytes = b"", *, fin: bool = True, reserved: int = 0, is_masked: bool = True
) -> bytes:
    """`reserved`: the three bits, as a number from 0 to 7."""
    first = fin << 7 | reserved << 4 | opcode
    second = is_masked << 7
    if len(data) < 126:
        head = struct.pack("!BB", first, second | len(data))
    elif len(data) < 1 << 16:
        head = struct.pack("!BBH", first, second | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, second | 127, len(data))
    return head + (_MASK + _masked(data) if is_masked else data)


def _masked(data: bytes) -> bytes:
    size = len(data)
    mask = int.from_bytes((_MASK * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(data, "big") ^ mask).to_bytes(size, "big")


def message(**fields: object) -> bytes:
    return frame(BINARY, msgpack.packb(fields))


OPEN = message(type="open", prompt="Be kind.", greeting=False)


class RawClient:
    """Made by `connected`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        """May be called after the server is gone."""
        self._writer.write(data)

    async def flood(self, data: bytes) -> None:
        """Sends this until the server takes no more."""
        with suppress(ConnectionError):
            while True:
                self._writer.write(data)
                await self._writer.drain()

    async def next(self, deadline_s: float | None = DEADLINE_S) -> Frame:
        """Raises IncompleteReadError or ConnectionError if there is none any more."""
        async with asyncio.timeout(deadline_s):
            first, second = await self._reader.readexactly(2)
            size = second & 127
            if size == 126:
                size = int.from_bytes(await self._reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self._reader.readexactly(8), "big")
            return Frame(first & 15, await self._reader.readexactly(size))

    async def close_code(self, deadline_s: float | None = DEADLINE_S) -> int:
        """Of the next close frame; 1006 if there is none."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while (got := await self.next(deadline_s)).opcode != CLOSE:
                pass
            return got.close_code
        return 1006

    async def is_cut(self) -> None:
        """Returns when the server has closed the connection."""
        with suppress(ConnectionError):
            async with asyncio.timeout(DEADLINE_S):
                while await self._reader.read(1 << 16):
                    pass

    def hang_up(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def connected(
    port: int, path: str = "/conversation", buffer_bytes: int = 0
) -> AsyncIterator[RawClient]:
    """`buffer_bytes`: how much the kernel takes in for a client that does not read; 0 is much."""
    plug = socket.socket()
    if buffer_bytes:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    await asyncio.to_thread(plug.connect, ("127.0.0.1", port))
    limit = {"limit": max(buffer_bytes, 1 << 10)} if buffer_bytes else {}
    reader, writer = await asyncio.open_connection(sock=plug, **limit)
    writer.write(
        b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n" % (path.encode(), _KEY)
    )
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in answer.split(b"\r\n")[0], answer
    client = RawClient(reader, writer)
    try:
        yield client
    finally:
        client.hang_up()


def memory_mib(pid: int | None = None) -> float:
    """Resident, of a process; this one by default."""
    with open(f"/proc/{pid or os.getpid()}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
