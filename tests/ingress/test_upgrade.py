"""A plain HTTP request for the address of the WebSocket, to a real server."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from serve_app.ingress.upgrade import upgrade_routes

PATHS = ("/conversation", "/conversation/websocket")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close(1000, "well met")


@pytest.fixture
async def address() -> AsyncIterator[str]:
    sockets = [WebSocketRoute(path, talk) for path in PATHS]
    app = Starlette(routes=[*sockets, *upgrade_routes(PATHS)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for this
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.mark.parametrize("path", PATHS)
async def test_curl_is_told_to_open_a_websocket(address: str, path: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{address}{path}")
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"
    assert answer.headers["connection"].lower() == "upgrade"
    assert f"connect to ws://{address}{path} and send MessagePack" in answer.text


@pytest.mark.parametrize("path", PATHS)
async def test_a_websocket_is_still_one(address: str, path: str) -> None:
    async with connect(f"ws://{address}{path}", proxy=None) as socket:
        await socket.wait_closed()
    assert socket.close_reason == "well met"
