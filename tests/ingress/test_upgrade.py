"""A plain HTTP request for the address of the WebSocket."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from serve_app.ingress.upgrade import upgrade_routes
from serve_app.ingress.wires import FRAMES, WIRES
from tests.ingress.served import served

PATHS = {path: FRAMES[make] for path, make in WIRES.items()}


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close(1000, "well met")


@pytest.fixture
async def address() -> AsyncIterator[str]:
    sockets = [WebSocketRoute(path, talk) for path in PATHS]
    async with served([*sockets, *upgrade_routes(PATHS)]) as address:
        yield address


@pytest.mark.parametrize("path", PATHS)
async def test_curl_is_told_to_open_a_websocket(address: str, path: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{address}{path}")
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"
    assert answer.headers["connection"].lower() == "upgrade"
    assert f"connect to ws://{address}{path} and send {PATHS[path]}" in answer.text


@pytest.mark.parametrize("path", PATHS)
async def test_a_websocket_is_still_one(address: str, path: str) -> None:
    async with connect(f"ws://{address}{path}", proxy=None) as socket:
        await socket.wait_closed()
    assert socket.close_reason == "well met"


async def test_behind_tls_it_is_a_secure_one(address: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        headers = {"x-forwarded-proto": "https"}
        answer = await client.get(f"http://{address}/conversation", headers=headers)
    assert f"connect to wss://{address}/conversation and send" in answer.text
