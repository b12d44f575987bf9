"""A server that speaks ElevenLabs' stream-input WebSocket; its voice is a tone."""

import asyncio
import base64
import json
import math
from array import array
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

TONE_HZ = 440.0
SECONDS_PER_CHAR = 0.05


@dataclass(frozen=True, slots=True)
class Script:
    """How connections are answered."""

    status: int = 101
    """Anything else refuses the handshake."""
    location: str = ""
    """Where a refusal with status 3xx points."""
    chunk_bytes: int = 4096
    """Size of a message's audio; may be odd."""
    extra_bytes: int = 0
    """Added to the audio of each clause; an odd number makes its size odd."""
    has_alignment: bool = True
    stall_after: int | None = None
    """After this many clauses their audio and everything else is withheld."""
    fail_after: int | None = None
    """After this many clauses `error` and `close_code` are sent in place of audio."""
    error: dict[str, Any] | str = ""
    """Sent as JSON; a string is sent as it is, an empty one not at all."""
    close_code: int = 1008
    close_reason: str = ""
    sends_final: bool = True
    """Whether `isFinal` comes before the connection is closed."""
    chunk_delay_s: float = 0.0
    """Pause before each message with audio."""
    first_audio_delay_s: float = 0.0
    """Pause before the first one of a connection, when it is the longer one."""


@dataclass(slots=True)
class Connection:
    """What a client sent."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    messages: list[dict[str, Any]] = field(default_factory=list)
    clause_arrived: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def texts(self) -> list[str]:
        """The clauses, without the first and the last message."""
        return [m["text"] for m in self.messages if m["text"].strip()]


class FakeElevenLabs:
    """Use as `async with FakeElevenLabs(script) as server`; it listens on 127.0.0.1."""

    def __init__(self, script: Script | None = None, port: int = 0) -> None:
        self.script = script or Script()
        self.connections: list[Connection] = []
        self.opened = asyncio.Event()
        """Set by the first connection."""
        self._port = port

    @property
    def url(self) -> str:
        """Stands where https://api.elevenlabs.io would."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve, "127.0.0.1", self._port, process_request=self._admit
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        if self.script.status == 101:
            return None
        self.connections.append(_connection(request))
        response = socket.respond(HTTPStatus(self.script.status), "refused\n")
        if self.script.location:
            response.headers["Location"] = self.script.location
        return response

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        connection = _connection(socket.request)
        self.connections.append(connection)
        self.opened.set()
        try:
            await _converse(self.script, socket, connection)
        except ConnectionClosed:
            pass
        finally:
            connection.closed.set()


def _connection(request: Request) -> Connection:
    url = urlsplit(request.path)
    query = {key: values[0] for key, values in parse_qs(url.query).items()}
    headers = {key.lower(): value for key, value in request.headers.raw_items()}
    return Connection(url.path, query, headers)


async def _converse(script: Script, socket: ServerConnection, connection: Connection) -> None:
    async for raw in socket:
        message = json.loads(raw)
        connection.messages.append(message)
        clauses = len(connection.texts)
        if script.fail_after is not None and clauses >= script.fail_after:
            return await _fail(script, socket)
        if script.stall_after is not None and clauses >= script.stall_after:
            connection.clause_arrived.set()
            continue
        if message["text"].strip():
            connection.clause_arrived.set()
            await _speak(script, socket, connection)
        if not message["text"]:
            if script.sends_final:
                await socket.send(json.dumps({"audio": None, "isFinal": True}))
            return


async def _fail(script: Script, socket: ServerConnection) -> None:
    if script.error:
        text = script.error if isinstance(script.error, str) else json.dumps(script.error)
        await socket.send(text)
    await socket.close(script.close_code, script.close_reason)


async def _speak(script: Script, socket: ServerConnection, connection: Connection) -> None:
    """Says the last clause."""
    text, is_first = connection.texts[-1], len(connection.texts) == 1
    audio = _tone(len(text) * SECONDS_PER_CHAR, connection.query["output_format"])
    audio += bytes(script.extra_bytes)
    delay_s = max(script.first_audio_delay_s if is_first else 0.0, script.chunk_delay_s)
    for start in range(0, len(audio), script.chunk_bytes):
        await asyncio.sleep(delay_s)
        delay_s = script.chunk_delay_s
        end = min(start + script.chunk_bytes, len(audio))
        chars = text[_position(text, audio, start) : _position(text, audio, end)]
        message = {
            "audio": base64.b64encode(audio[start:end]).decode(),
            "isFinal": None,
            "alignment": _alignment(chars) if script.has_alignment else None,
            "normalizedAlignment": None,
        }
        await socket.send(json.dumps(message))


def _position(text: str, audio: bytes, offset: int) -> int:
    return len(text) * offset // len(audio)


def _alignment(chars: str) -> dict[str, Any]:
    duration_ms = round(SECONDS_PER_CHAR * 1000)
    return {
        "chars": list(chars),
        "charStartTimesMs": [i * duration_ms for i in range(len(chars))],
        "charsDurationsMs": [duration_ms] * len(chars),
    }


@lru_cache(maxsize=64)
def _tone(seconds: float, output_format: str) -> bytes:
    """A sine for pcm; for other codecs as many bytes as their bit rate makes of it."""
    codec, *numbers = output_format.split("_")
    rate_hz = int(numbers[0])
    if codec == "pcm":
        step = 2 * math.pi * TONE_HZ / rate_hz
        count = round(seconds * rate_hz)
        return array("h", (round(8000 * math.sin(step * i)) for i in range(count))).tobytes()
    bytes_per_second = int(numbers[1]) * 125 if numbers[1:] else rate_hz
    return bytes(i % 251 for i in range(round(seconds * bytes_per_second)))
