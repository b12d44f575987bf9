"""The real ingress behind the real web server. In the place of the other deployments is a VAD that
hears nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from deployments.ingress import Ingress
from serve_app.settings.schema import AppConfig
from serve_app.vad.jobs import VadAnswer, VadJob
from tests.ingress.served import running


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
    pings: Any = {"ws_ping_interval": ping_s, "ws_ping_timeout": ping_s}
    app = ingress.__serve_build_asgi_app__()
    async with running(app, are_willing=False, **pings) as (port, server):
        try:
            yield RealIngress(port, ingress, server)
        finally:
            for loop in ingress._loops:
                loop.cancel()
