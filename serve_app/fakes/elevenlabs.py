"""A server that speaks ElevenLabs' WebSockets, and fails as theirs does.

`python -m serve_app.fakes.elevenlabs --port 8790 --first-audio-ms 120` runs one; give its
address to Echo Serve as ELEVEN_LABS_API_URL, and any ELEVEN_LABS_API_KEY.
"""

import argparse
import asyncio
import json
from contextlib import suppress
from http import HTTPStatus
from typing import Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from serve_app.fakes import elevenlabs_contexts, elevenlabs_stream
from serve_app.fakes.elevenlabs_http import FakeElevenLabsHttp
from serve_app.fakes.elevenlabs_script import Connection, Context, Script
from serve_app.fakes.tone import SECONDS_PER_CHAR

__all__ = ["SECONDS_PER_CHAR", "Connection", "Context", "FakeElevenLabs", "Script"]

_NO_WEBSOCKET = "eleven_v3"
_MULTI_CONTEXT = "/multi-stream-input"


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

    @property
    def texts(self) -> list[str]:
        """The clauses of all connections."""
        return [text for connection in self.connections for text in connection.texts]

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
        connection = _connection(request)
        status = self.script.status
        if status == 101 and connection.query.get("model_id", "").startswith(_NO_WEBSOCKET):
            status = 403
        if status == 101:
            return None
        self.connections.append(connection)
        detail = self.script.detail
        body = json.dumps({"detail": detail}) if detail else "refused\n"
        response = socket.respond(HTTPStatus(status), body)
        if self.script.location:
            response.headers["Location"] = self.script.location
        return response

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        connection = _connection(socket.request)
        connection.is_faulty = len(self.connections) < self.script.faulty_connections
        self.connections.append(connection)
        self.opened.set()
        is_multi = connection.path.endswith(_MULTI_CONTEXT)
        converse = elevenlabs_contexts.converse if is_multi else elevenlabs_stream.converse
        try:
            await converse(self.script, socket, connection)
        except ConnectionClosed:
            pass
        finally:
            connection.closed.set()


def _connection(request: Request) -> Connection:
    url = urlsplit(request.path)
    query = {key: values[0] for key, values in parse_qs(url.query).items()}
    headers = {key.lower(): value for key, value in request.headers.raw_items()}
    return Connection(url.path, query, headers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serve_app.fakes.elevenlabs", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("--port", type=int, default=8790, help="of the WebSockets")
    add("--http-port", type=int, default=8791, help="of tts.transport http")
    add("--first-audio-ms", type=float, default=0, help="delay of each reply's first audio")
    add("--chunk-ms", type=float, default=0, help="delay of each further message")
    add("--status", type=int, default=101, help="refuse with 401, 429, 500, ...")
    add("--detail", default="", metavar="CODE", help="the code that --status comes with")
    add("--stall-after", type=int, metavar="CLAUSES", help="then send nothing more")
    add("--cut-after", type=int, metavar="CLAUSES", help="then lose the connection mid-sentence")
    add("--fail-after", type=int, metavar="CLAUSES", help="then send --error and close with 1008")
    add("--error", default="quota_exceeded", help="the error's code")
    add("--faulty-connections", type=int, default=1_000_000, help="how many connections fail")
    add("--max-contexts", type=int, default=5, help="one more closes the connection with 1008")
    add("--late-audio", action="store_true", help="closed contexts keep sending")
    return parser


def _script(arguments: argparse.Namespace) -> Script:
    return Script(
        status=arguments.status,
        detail={"status": arguments.detail} if arguments.detail else "",
        stall_after=arguments.stall_after,
        cut_after=arguments.cut_after,
        fail_after=arguments.fail_after,
        error={"message": "as the script says", "error": arguments.error, "code": 1008},
        faulty_connections=arguments.faulty_connections,
        first_audio_delay_s=arguments.first_audio_ms / 1000,
        chunk_delay_s=arguments.chunk_ms / 1000,
        max_contexts=arguments.max_contexts,
        late_audio=arguments.late_audio,
    )


async def main() -> None:
    """Serves until it is cancelled."""
    arguments = _parser().parse_args()
    script = _script(arguments)
    async with (
        FakeElevenLabs(script, arguments.port) as server,
        FakeElevenLabsHttp(script, arguments.http_port) as http,
    ):
        print(f"{server.url} (WebSocket), {http.url} (HTTP); Ctrl-C stops them", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
