"""Keys on a real server, by the commands and clients that people use."""

import asyncio
import base64
import json
import os
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from serve_app.client.session import converse
from serve_app.protocol.formats import parse_format
from tests.serve.conftest import ROOT, Server, config_with, echo_serve, free_port, running_server
from tests.serve.test_refusals import OPEN, closing

pytestmark = [pytest.mark.serve, pytest.mark.timeout(300)]


def printed(*arguments: str, **env: str) -> str:
    done = subprocess.run(
        echo_serve(*arguments),
        cwd=ROOT,
        env={**os.environ, **env},
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def guarded(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server that asks for keys, and Ada's."""
    ada = printed("keys", "add", "ada", "--expires", "1h", ECHO_KEYS_FILE=str(keys))
    port = free_port()
    # The proxy that is believed is none of those that there are.
    access = {"per_address": {"connections": 2}, "trusted_proxies": ["192.0.2.1"]}
    config = config_with(tmp_path_factory.mktemp("guarded"), port, access=access)
    with running_server(config, port, {"ECHO_KEYS_FILE": str(keys)}) as server:
        yield server, ada


async def test_only_who_has_a_key_comes_in(guarded: tuple[Server, str]) -> None:
    server, ada = guarded
    async with connect(server.url) as socket:
        await socket.send(OPEN)
        code, reason = await closing(socket)
        assert code == 4401 and reason.startswith("send a key")
    async with converse(server.url, parse_format("pcm_44100"), key=ada) as session:
        await session.open("Be brief.", {"state"}, greeting=False)
        await session.next("state")


async def test_a_page_of_somebody_else_stays_out(guarded: tuple[Server, str]) -> None:
    server, ada = guarded
    async with opened(server, ada, Origin="https://evil.example") as socket:
        assert (await closing(socket))[0] == 4403


async def test_through_haproxy_an_address_cannot_be_made_up(guarded: tuple[Server, str]) -> None:
    """HAProxy passes on what the client says, and uvicorn would believe it."""
    server, ada = guarded
    await asyncio.to_thread(server.wait_until_idle)
    async with opened(server, ada, "1.1.1.1") as one, opened(server, ada, "2.2.2.2") as two:
        for socket in (one, two):
            assert msgpack.unpackb(await socket.recv())["type"] == "token"
        async with opened(server, ada, "3.3.3.3") as three:
            code, reason = await closing(three)
            assert code == 4402 and reason.startswith("this address has 2 connections")


async def test_a_revoked_key_ends_its_sessions_and_those_of_its_client_keys(
    guarded: tuple[Server, str], keys: Path
) -> None:
    server, ada = guarded
    await asyncio.to_thread(server.wait_until_idle)
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/client-keys",
        data=b'{"ttl_s": 600}',
        headers={"Authorization": f"Bearer {ada}"},
    )
    made = await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=10).read())
    encoded = base64.urlsafe_b64encode(json.loads(made)["key"].encode()).rstrip(b"=").decode()
    browser = connect(server.url, subprotocols=["echo.v1", f"bearer.{encoded}"])
    async with opened(server, ada) as own, browser as clients:
        assert clients.subprotocol == "echo.v1"
        await clients.send(OPEN)
        for socket in (own, clients):
            assert msgpack.unpackb(await socket.recv())["type"] == "token"
        await asyncio.to_thread(printed, "keys", "revoke", "ada", "--file", str(keys))
        for socket in (own, clients):
            async with asyncio.timeout(15):
                assert await closing(socket) == (4511, "the key was revoked")
    assert ada not in server.output


@asynccontextmanager
async def opened(
    server: Server, key: str, forwarded_for: str = "", **headers: str
) -> AsyncIterator[ClientConnection]:
    """A socket that has sent `open`, or was refused before that."""
    headers["Authorization"] = f"Bearer {key}"
    if forwarded_for:
        headers["X-Forwarded-For"] = forwarded_for
    async with connect(server.url, additional_headers=headers) as socket:
        with suppress(ConnectionClosed):
            await socket.send(OPEN)
        yield socket
