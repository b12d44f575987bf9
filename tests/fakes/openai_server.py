"""A server that speaks OpenAI's chat completions, and fails in the ways that real ones do."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

Ending = Literal["done", "stall", "no_finish", "cut", "bad_json", "bad_utf8", "bad_shape", "error"]
"""What follows the last piece of text:

done       finish_reason and [DONE]
stall      nothing more, the connection stays open
no_finish  a clean end of the body, without finish_reason and [DONE]
cut        the connection is gone in the middle of the body
bad_json   an event that is no JSON
bad_utf8   an event that is no text
bad_shape  an event that is JSON, but no chunk of a reply
error      an event with an error, as providers send when they fail half way
"""


@dataclass(frozen=True, slots=True)
class Script:
    """How requests are answered."""

    pieces: Sequence[str] = ("Hello", " there", ".")
    ending: Ending = "done"
    piece_delay_s: float = 0.0
    """Pause before each piece."""
    keep_alive_s: float = 0.0
    """While stalling, a comment and an event without choices are sent this often."""
    status: int = 200
    """Anything else is answered with an error whose message quotes the request."""
    error_code: str | None = None
    drop_first: int = 0
    """Requests whose connection is closed without an answer."""
    first_token_delay_s: float = 0.0
    """Pause before the first piece, when it is the longer one."""
    pieces_by_prompt: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """In place of `pieces`, for a chat whose first message is the key."""
    retry_after_s: int = 0
    """Sent with an error, as providers do when they want to be left alone."""
    is_mute: bool = False
    """Requests are read and not answered."""
    tool_rounds: Sequence[Sequence[Mapping[str, Any]]] = ()
    """Raw deltas, in place of `pieces`: the first for a request that declares tools, the next for
    one that holds the results of that, and so on."""
    tool_finish: str = "tool_calls"
    """How these end: some servers say `stop`."""
    heeds_tool_choice: bool = True
    """Whether `tool_choice: none` is obeyed."""


@dataclass(slots=True)
class Request:
    """What a client sent."""

    connection: int
    """Which connection it came on, counted from 0."""
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client closes the connection before the answer is complete."""


class FakeOpenAi:
    """Use as `async with FakeOpenAi(script) as server`; it listens on 127.0.0.1."""

    def __init__(self, script: Script | None = None, port: int = 0) -> None:
        self.script = script or Script()
        self.requests: list[Request] = []
        self.arrived = asyncio.Event()
        """Set by the first request."""
        self._port = port
        self._connections = 0
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
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
            while request := await _read_request(reader, connection):
                self.requests.append(request)
                self.arrived.set()
                if len(self.requests) <= self.script.drop_first:
                    break
                if not await _answer_unless_gone(self.script, request, reader, writer):
                    break
        except ConnectionError:
            pass
        finally:
            del self._open[task]
            writer.close()


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().strip().split("\r\n")
    headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(connection, first.split()[1], headers, json.loads(body))


async def _answer_unless_gone(
    script: Script, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """False when the connection is of no more use."""
    answer = asyncio.create_task(_answer(script, request, writer))
    # A client that waits for its answer sends nothing: reading ends when it hangs up.
    hang_up = asyncio.create_task(reader.read(1))
    try:
        await asyncio.wait({answer, hang_up}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            request.disconnected.set()
            return False
        return await answer
    finally:
        answer.cancel()
        hang_up.cancel()
        await asyncio.gather(answer, hang_up, return_exceptions=True)


async def _answer(script: Script, request: Request, writer: asyncio.StreamWriter) -> bool:
    if script.is_mute:
        await asyncio.Event().wait()
    if script.status != 200:
        await _write(writer, _refusal(script, request))
        return True
    await _write(writer, _STREAM_HEAD)
    await _write(writer, _chunked(_event({"role": "assistant", "content": ""})))
    delay_s = max(script.first_token_delay_s, script.piece_delay_s)
    asked = _tool_round(script, request)
    for delta in asked or _pieces(script, request):
        await asyncio.sleep(delay_s)
        await _write(writer, _chunked(_event(delta)))
        delay_s = script.piece_delay_s
    return await _end(script, writer, script.tool_finish if asked else "stop")


def _pieces(script: Script, request: Request) -> Sequence[Mapping[str, Any]]:
    prompt = request.body["messages"][0]["content"]
    pieces = script.pieces_by_prompt.get(prompt, script.pieces)
    return [{"content": piece} for piece in pieces]


def _tool_round(script: Script, request: Request) -> Sequence[Mapping[str, Any]]:
    """What is asked of tools, if anything."""
    rounds_so_far = sum("tool_calls" in message for message in request.body["messages"])
    is_allowed = request.body.get("tool_choice") != "none" or not script.heeds_tool_choice
    if "tools" not in request.body or not is_allowed or rounds_so_far >= len(script.tool_rounds):
        return ()
    return script.tool_rounds[rounds_so_far]


async def _end(script: Script, writer: asyncio.StreamWriter, finish_reason: str) -> bool:
    match script.ending:
        case "stall":
            await _stall(script, writer)
        case "cut":
            return False
        case "done":
            usage = b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n'
            events = _event({}, finish_reason) + usage + b"data: [DONE]\n\n"
            await _write(writer, _chunked(events))
        case "bad_json":
            await _write(writer, _chunked(b"data: {oops\n\n"))
        case "bad_utf8":
            await _write(writer, _chunked(b'data: {"\xff"}\n\n'))
        case "bad_shape":
            await _write(writer, _chunked(b'data: {"choices":[{"delta":null}]}\n\n'))
        case "error":
            await _write(writer, _chunked(b'data: {"error":{"code":"server_error"}}\n\n'))
    await _write(writer, b"0\r\n\r\n")
    return True


async def _stall(script: Script, writer: asyncio.StreamWriter) -> None:
    while script.keep_alive_s:
        await asyncio.sleep(script.keep_alive_s)
        await _write(writer, _chunked(b': ping\n\ndata: {"choices":[]}\n\n'))
    await asyncio.Event().wait()


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _refusal(script: Script, request: Request) -> bytes:
    error = {"message": json.dumps(request.body), "code": script.error_code}
    body = json.dumps({"error": error}).encode()
    head = f"HTTP/1.1 {script.status} -\r\ncontent-type: application/json\r\n"
    if script.retry_after_s:
        head += f"retry-after: {script.retry_after_s}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def _event(delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


def _chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
