"""The real ingress behind the real web server. In the place of the other deployments is a VAD that
hears nobody."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from deployments.ingress import Ingress
from serve_app.settings.schema import AppConfig
from serve_app.vad.jobs import VadAnswer, VadJob

SMALL = 16_384
"""Of the kernel's buffers, which would otherwise hold megabytes for a client that does not read."""


class _Deployment:
    """Stands in for a handle of Serve: one that is asked for voice activity only."""

    def options(self, **_: Any) -> "_Deployment":
        return self

    @property
    def detect(self) -> "_Deployment":
        return self

    transcribe = languages = judge = detect

    def remote(self, jobs: list[VadJob]) -> asyncio.Future[list[VadAnswer]]:
        return asyncio.ensure_future(self._silence(jobs))

    async def _silence(self, jobs: list[VadJob]) -> list[VadAnswer]:
        return [VadAnswer(job.row, [0.0] * len(job.frames)) for job in jobs]


class RealIngress:
    """Made by `serving`."""

    def __init__(self, port: int, ingress: Ingress, server: uvicorn.Server) -> None:
        self.port = port
        self.ingress = ingress
        self.server = server

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/conversation"

    @property
    def sockets(self) -> int:
        """Connections that the web server holds."""
        return len(self.server.server_state.connections)


@asynccontextmanager
async def serving(ping_s: float = 20.0, **settings: Any) -> AsyncIterator[RealIngress]:
    """`ping_s`: how often the server sends a ping, and how long it waits for the answer.
    `settings`: of `args.ingress`."""
    handle: Any = _Deployment()
    ingress = Ingress(AppConfig.model_validate({"ingress": settings}), handle, handle, handle)
    app = ingress.__serve_build_asgi_app__()
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        listening.bind(("127.0.0.1", 0))
        listening.listen(1000)
        # As Serve does it: `start_asgi_http_server` leaves the choice of the WebSocket to uvicorn.
        pings: Any = {"ws_ping_interval": ping_s, "ws_ping_timeout": ping_s}
        web = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_level=None, log_config=None, **pings)
        )
        running = asyncio.create_task(web.serve(sockets=[listening]))
        while not web.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            yield RealIngress(listening.getsockname()[1], ingress, web)
        finally:
            web.should_exit = web.force_exit = True
            await running
            for loop in ingress._loops:
                loop.cancel()
