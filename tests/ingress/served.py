"""Routes behind a real HTTP server, for tests over the real wire."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from tests.ingress.raw_client import SMALL


@asynccontextmanager
async def served(routes: Sequence[BaseRoute]) -> AsyncIterator[str]:
    """The host and port at which they are."""
    async with running(Starlette(routes=routes)) as (port, _):
        yield f"127.0.0.1:{port}"


@asynccontextmanager
async def running(
    app: ASGIApp, are_willing: bool = True, **options: Any
) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """The port, and the server, which chooses the WebSocket as it does for Serve. For clients that
    are not willing to read, the kernel keeps little, and in the end nobody waits for them to leave.
    `options`: of uvicorn."""
    config = uvicorn.Config(app, log_level="warning", lifespan="off", **options)
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        if not are_willing:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        listening.bind(("127.0.0.1", 0))
        listening.listen(1000)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for this
            await asyncio.sleep(0.01)
        try:
            yield listening.getsockname()[1], server
        finally:
            server.should_exit = True
            server.force_exit = not are_willing
            await serving
