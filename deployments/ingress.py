"""The ingress: holds the sockets and runs the conversations."""

import asyncio
import contextvars
import logging
import secrets
import string
import uuid
from functools import partial
from pathlib import Path
from typing import Any

from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from serve_app.calls import Calls
from serve_app.config import AppConfig
from serve_app.conversation.machine import Conversation
from serve_app.driver import Driver
from serve_app.errors import AtCapacity
from serve_app.event_log import EventLog
from serve_app.plan import check_options, stages
from serve_app.protocol.messages import TOKEN_BYTES
from serve_app.sessions import SessionPool
from serve_app.voice_activity import VoiceActivityBatcher

log = logging.getLogger(__name__)


class Ingress:
    """One replica. Serve asks for the ASGI app after the constructor has run."""

    def __init__(
        self,
        config: AppConfig,
        vad: DeploymentHandle[Any],
        stt: DeploymentHandle[Any],
        agent: DeploymentHandle[Any],
    ) -> None:
        self._config = config
        self._calls = Calls(config, vad, stt, agent)
        self._pool = SessionPool(config.sessions.actors)
        self._batcher = VoiceActivityBatcher(self._calls.detect)
        self._batching: asyncio.Task[None] | None = None
        self._sessions: dict[asyncio.Task[None], Driver] = {}

    def __serve_build_asgi_app__(self) -> Starlette:
        return Starlette(
            routes=[
                WebSocketRoute("/conversation", self.conversation),
                WebSocketRoute("/conversation/websocket", self.conversation),
                Route("/healthz", self.healthz),
            ]
        )

    async def conversation(self, socket: WebSocket) -> None:
        """One session, from handshake to close."""
        await socket.accept()
        if self._live_sessions >= self._config.ingress.max_sessions:
            # Accepted first: a browser cannot see the status of a refused handshake.
            await socket.close(AtCapacity.close_code, "all sessions are taken: try again later")
            return
        driver = self._driver(socket)
        session = asyncio.create_task(driver.run(self._config.ingress.open_timeout_s))
        self._sessions[session] = driver
        session.add_done_callback(self._sessions.pop)
        try:
            # In HAProxy mode Serve cancels this handler when the socket is gone, also in the
            # middle of cleaning up: so the session is a task of ours, which is told instead.
            await asyncio.shield(session)
        finally:
            driver.leave()

    async def healthz(self, request: Request) -> JSONResponse:
        """Ready to talk, and the plan that is running."""
        plan = {row.stage: f"{row.engine}: {row.model}" for row in stages(self._config)}
        return JSONResponse({"status": "ok", "sessions": len(self._sessions), "plan": plan})

    async def check_health(self) -> None:
        if self._batching is not None and self._batching.done():
            raise RuntimeError("the voice activity loop has ended")

    @property
    def _live_sessions(self) -> int:
        return sum(not driver.is_over for driver in self._sessions.values())

    def _driver(self, socket: WebSocket) -> Driver:
        if self._batching is None or self._batching.done():
            # In a context of its own: Serve cancels the calls made in the context of a request
            # when that request ends, and this loop would end with the first session.
            self._batching = asyncio.get_running_loop().create_task(
                self._batcher.run(), context=contextvars.Context()
            )
        session = uuid.uuid4().hex
        return Driver(
            session=session,
            socket=socket,
            conversation=Conversation(self._config.turn, _new_token),
            calls=self._calls,
            batcher=self._batcher,
            pool=self._pool,
            check=partial(check_options, self._config),
            event_log=self._event_log(session),
        )

    def _event_log(self, session: str) -> EventLog | None:
        settings = self._config.ingress
        if not settings.event_log_dir:
            return None
        path = Path(settings.event_log_dir) / f"{session}.jsonl"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return EventLog(path, self._config.turn, settings.event_log_audio)
        except OSError as error:
            log.warning("session %s is not logged: %s", session, error)
            return None


def _new_token() -> str:
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(TOKEN_BYTES))
