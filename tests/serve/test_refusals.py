"""What the server refuses, how it says so, and that it goes on afterwards."""

import json
import os
import socket as sockets
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.serve.conftest import ROOT, Server, echo_serve, free_port

pytestmark = [pytest.mark.serve, pytest.mark.timeout(300)]
OPEN = msgpack.packb({"type": "open", "prompt": "Be brief."})


async def closing(socket: ClientConnection) -> tuple[int, str]:
    """How the server ends the connection."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as closed:
        assert closed.rcvd is not None, "no close frame"
        return closed.rcvd.code, closed.rcvd.reason


@pytest.fixture
async def opened(server: Server) -> AsyncIterator[ClientConnection]:
    async with connect(server.url, max_size=None) as socket:
        await socket.send(OPEN)
        yield socket


@pytest.mark.parametrize(
    ("frame", "code", "reason"),
    [
        ("hello", 1003, "text frame"),
        (b"\xc1", 1007, "not a valid MessagePack message"),
        (msgpack.packb({"type": "dance"}), 4400, "unknown message type 'dance'"),
        (
            msgpack.packb({"type": "audio", "audio": b"12345"}),
            4400,
            "5 bytes is not a whole number",
        ),
        (b"\0" * ((1 << 20) + 1), 1009, "frame exceeds limit of 1048576 bytes"),
    ],
)
async def test_bad_input_gets_a_code_and_a_reason(
    server: Server, opened: ClientConnection, frame: bytes | str, code: int, reason: str
) -> None:
    await opened.send(frame)
    found, text = await closing(opened)
    assert (found, reason in text) == (code, True), (found, text)
    assert json.loads(server.healthz())["status"] == "ok"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"turn": {"lead_ms": 5}}, "'lead_ms' is not a setting that a client can change"),
        ({"turn": {"end_silence_ms": 5}}, "end_silence_ms must be 32 to 10000, not 5"),
        ({"voice": "nova"}, "the local voice is the only one here"),
        ({"language": "de"}, "the model here knows 'en' only"),
        ({"greeting": 7}, "'greeting' must be a string or false"),
    ],
)
async def test_an_option_that_cannot_be_met_is_named(
    server: Server, options: dict[str, Any], reason: str
) -> None:
    server.wait_until_idle()
    async with connect(server.url) as socket:
        await socket.send(msgpack.packb({"type": "open", "prompt": "", **options}))
        code, text = await closing(socket)
    assert code == 4400 and reason in text, text


async def test_a_full_server_says_try_again_later(server: Server) -> None:
    """The fixture's server has room for three sessions."""
    server.wait_until_idle()
    async with connect(server.url) as a, connect(server.url) as b, connect(server.url) as c:
        for socket in (a, b, c):
            await socket.send(OPEN)
            await socket.recv()
        async with connect(server.url) as fourth:
            assert await closing(fourth) == (1013, "all sessions are taken: try again later")
        await a.send(msgpack.packb({"type": "close"}))
        assert (await closing(a))[0] == 1000
        async with connect(server.url) as next_one:
            await next_one.send(OPEN)
            assert msgpack.unpackb(await next_one.recv())["type"] == "token"


async def test_a_lost_client_frees_its_session(server: Server) -> None:
    for _ in range(4):  # one more than there is room for
        server.wait_until_idle()
        async with connect(server.url) as socket:
            await socket.send(OPEN)
            await socket.recv()
            socket.transport.abort()
    server.wait_until_idle()


# --- at start: one clear line, before anything is started ---


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        echo_serve("run", *arguments),
        cwd=ROOT,
        env={"PATH": "", **env},
        text=True,
        capture_output=True,
        timeout=60,
    )


def test_a_missing_key_is_one_line() -> None:
    result = run(TEXT_GENERATION_PROVIDER="openai")
    assert result.returncode == 2
    assert result.stderr == (
        "echo-serve: TEXT_GENERATION_PROVIDER is openai, but OPENAI_API_KEY is not set\n"
    )


def test_a_missing_file_is_one_line() -> None:
    result = run("--config", "nowhere.yaml")
    assert result.returncode == 2
    assert result.stderr.startswith("echo-serve: nowhere.yaml is not a Serve file")
    assert result.stderr.count("\n") == 1


def test_a_port_in_use_is_one_line_that_says_how_to_move_it() -> None:
    with sockets.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        own = run("--port", str(port))
        stats = run("--port", str(free_port()), RAY_SERVE_HAPROXY_STATS_PORT=str(port))
    assert own.returncode == stats.returncode == 2
    assert f"port {port} is in use by process {os.getpid()} (" in own.stderr
    assert "stop what uses it, or move it with http_options.port" in own.stderr
    assert own.stderr.count("\n") == 1
    assert "RAY_SERVE_HAPROXY_STATS_PORT" in stats.stderr
