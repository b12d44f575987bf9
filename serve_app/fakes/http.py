"""HTTP/1.1 for the stand-ins: small, and able to break off anywhere."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Self

AudioEnding = Literal["done", "stall", "cut"]


@dataclass(slots=True)
class Request:
    """What a client sent."""

    connection: int
    """Number of the connection that it came on, counted from 0."""
    number: int
    """Of the request, counted from 0 over all connections."""
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    arrived_at_s: float
    """Time of the event loop."""
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client closes the connection before the answer is complete."""
    disconnected_at_s: float = 0.0
    """When that happened, in the event loop's time."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the answer is complete."""


class HttpFake(ABC):
    """Use as `async with FakeX(script) as server`; it listens on 127.0.0.1."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.arrived = asyncio.Event()
        """Set by the first request."""
        self.port = port
        self._connections = 0
        self._changed = asyncio.Condition()
        self._answering = 0
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @abstractmethod
    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Writes the answer; False closes the connection after it."""

    async def reached(self, count: int) -> None:
        """Returns when this many requests have arrived."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)

    async def idle(self) -> None:
        """Returns when no request is being answered."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._answering == 0)

    @property
    def answering(self) -> int:
        """Number of requests whose answer has not ended."""
        return self._answering

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._open.values():
            writer.close()
        await asyncio.gather(*self._open)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        connection, self._connections = self._connections, self._connections + 1
        try:
            while request := await _read_request(reader, connection, len(self.requests)):
                self.requests.append(request)
                self.arrived.set()
                await self._count(1)
                try:
                    if not await self._answer_unless_gone(request, reader, writer):
                        break
                finally:
                    await self._count(-1)
        except ConnectionError:
            pass
        finally:
            del self._open[task]
            writer.close()

    async def _count(self, change: int) -> None:
        async with self._changed:
            self._answering += change
            self._changed.notify_all()

    async def _answer_unless_gone(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """False when the connection cannot be used again."""
        answer = asyncio.create_task(self.answer(request, writer))
        # A client that waits for its answer sends nothing, so this read ends when it hangs up.
        hang_up = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({answer, hang_up}, return_when=asyncio.FIRST_COMPLETED)
            is_cut_off = answer.done() and isinstance(answer.exception(), ConnectionError)
            if is_cut_off or not answer.done():
                request.disconnected_at_s = asyncio.get_running_loop().time()
                request.disconnected.set()
                return False
            request.answered.set()
            return await answer
        finally:
            answer.cancel()
            hang_up.cancel()
            await asyncio.gather(answer, hang_up, return_exceptions=True)


async def _read_request(
    reader: asyncio.StreamReader, connection: int, number: int
) -> Request | None:
    """None if the client has hung up, also in the middle of a request."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().strip().split("\r\n")
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError:
        return None
    now_s = asyncio.get_running_loop().time()
    return Request(connection, number, first.split()[1], headers, json.loads(body), now_s)


async def write(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Writes `data` unchanged."""
    writer.write(data)
    await writer.drain()


async def write_audio(
    writer: asyncio.StreamWriter,
    chunks: Iterable[bytes],
    first_delay_s: float,
    delay_s: float,
    ending: AudioEnding,
    content_type: str = "audio/pcm",
) -> bool:
    """A streamed answer; False when it was cut off."""
    await write(writer, stream_head(content_type))
    pause_s = max(first_delay_s, delay_s)
    for chunk in chunks:
        await asyncio.sleep(pause_s)
        pause_s = delay_s
        await write(writer, chunked(chunk))
    if ending == "stall":
        await asyncio.Event().wait()
    if ending == "done":
        await write(writer, END_OF_STREAM)
    return ending == "done"


def stream_head(content_type: str) -> bytes:
    """The head of a chunked answer."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
    return head.encode()


def response(status: int, body: bytes, retry_after_s: int | None = None) -> bytes:
    """A complete answer in JSON."""
    head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n"
    if retry_after_s is not None:
        head += f"retry-after: {retry_after_s}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def chunked(data: bytes) -> bytes:
    """A piece of a streamed answer."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


END_OF_STREAM = b"0\r\n\r\n"
