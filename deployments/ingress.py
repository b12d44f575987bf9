"""The ingress: holds the sockets and runs the conversations."""

import asyncio
import contextvars
import logging
import os
import uuid
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from deployments.load_metrics import LoadMetrics
from deployments.loopback import reached_where_its_node_is
from deployments.scaling import SESSIONS
from serve_app.access.credentials import chosen
from serve_app.conversation.opening import LAST_TURN_S
from serve_app.errors import VoiceError
from serve_app.ingress.access import Gate, Guest
from serve_app.ingress.calls import Calls
from serve_app.ingress.client_keys import client_key_routes
from serve_app.ingress.door import Door
from serve_app.ingress.draining import CHECK_S, is_draining, time_left_s
from serve_app.ingress.driver import Driver
from serve_app.ingress.event_log import EventLog
from serve_app.ingress.guarded_socket import install
from serve_app.ingress.health import is_of_this_machine
from serve_app.ingress.load import Load
from serve_app.ingress.options import Options
from serve_app.ingress.page import page_routes
from serve_app.ingress.rest.refusals import not_here
from serve_app.ingress.rest.routes import rest_routes
from serve_app.ingress.services import Services
from serve_app.ingress.socket import refuse
from serve_app.ingress.upgrade import upgrade_routes
from serve_app.ingress.voice_activity import VoiceActivityBatcher
from serve_app.ingress.wires import FRAMES, WIRES, MakeWire
from serve_app.outline import outline
from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.wire import Wire
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.checkpoints import Checkpoints
from serve_app.sessions.leases import Leases
from serve_app.settings.plan import stages
from serve_app.settings.schema import AppConfig, SessionSettings

log = logging.getLogger(__name__)
serve_log = logging.getLogger("ray.serve")
"""What is said here is in the replica's log, which Serve keeps from this level on."""


@reached_where_its_node_is
class Ingress:
    """One replica. Serve asks it for its ASGI app once the constructor has run."""

    def __init__(
        self,
        config: AppConfig,
        vad: DeploymentHandle[Any],
        stt: DeploymentHandle[Any],
        agent: DeploymentHandle[Any],
    ) -> None:
        self._config = config
        self._gate = Gate(config.access, os.environ)
        self._door = Door(config.ingress, self._gate)
        # Serve starts its HTTP server after this.
        install(config.ingress.socket, config.ingress.limits.message_bytes)
        load = Load(LoadMetrics())
        calls = Calls(config, vad, stt, agent, load)
        actors = SessionActors(config.sessions.actors, _checkpoints(config.sessions))
        self._services = Services(
            calls,
            VoiceActivityBatcher(calls.detect, load),
            actors,
            Leases(actors),
            config.sessions.window_s,
            Options(config, calls.languages).check,
            calls.admit,
            config.ingress.limits,
        )
        self._loops: list[asyncio.Task[None]] = []
        self._is_draining = False

    def __serve_build_asgi_app__(self) -> Starlette:
        return Starlette(
            routes=[
                *(
                    WebSocketRoute(path, partial(self.conversation, make))
                    for path, make in WIRES.items()
                ),
                *upgrade_routes({path: FRAMES[make] for path, make in WIRES.items()}),
                Route("/healthz", self.healthz),
                *client_key_routes(self._gate),
                *rest_routes(self._config, self._gate, lambda: self._services),
                *page_routes(),
            ],
            exception_handlers={HTTPException: not_here},
        )

    async def conversation(self, make_wire: MakeWire, socket: WebSocket) -> None:
        """One session on one socket, from the handshake to the close frame."""
        # Accepted first: a browser cannot see the status of a refused handshake.
        await socket.accept(chosen(socket.scope.get("subprotocols", [])))
        name = uuid.uuid4().hex
        wire = make_wire(self._config, name)
        if self._is_draining:
            reason = "the server is about to stop: connect again"
            await refuse(socket, wire, CloseCode.STOPPING, reason)
            return
        try:
            guest = self._door.receive(socket)
        except VoiceError as error:
            log.info("a client is refused with %s: %s", error.close_code, error)
            await refuse(socket, wire, error.close_code, str(error))
            return
        driver = self._driver(name, socket, guest, wire)
        session = _task_of_its_own(self._door.enter(driver, guest))
        try:
            # In HAProxy mode Serve cancels this handler when the socket is gone, even while the
            # session cleans up. So the session is a task of its own, which is told instead.
            await asyncio.shield(session)
        finally:
            driver.leave()

    async def healthz(self, request: Request) -> JSONResponse:
        """Whether the replica is ready. To callers of this machine also how many sessions it holds
        (until the last of each is saved), how many sockets wait without an `open`, and which
        engines and models run behind it."""
        peer = request.client.host if request.client else ""
        forwarded = request.headers.getlist("x-forwarded-for")
        if not is_of_this_machine(peer, forwarded, os.environ):
            return JSONResponse({"status": "ok"})
        plan = {row.stage: f"{row.engine}: {row.model}" for row in stages(self._config)}
        counts = {"sessions": self._door.unfinished, "waiting": self._door.waiting}
        return JSONResponse({"status": "ok", **counts, "plan": plan})

    async def check_health(self) -> None:
        for loop in self._loops:
            if loop.done() and not self._is_draining:
                error = None if loop.cancelled() else loop.exception()
                cause = outline(error) if error else "it was cancelled, or has returned"
                raise RuntimeError(f"a background loop of the replica has ended: {cause}")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Serve calls this by its name; ScaleBySessions reads it. Empty while draining: Serve
        leaves out a replica that it is stopping, but a restarted controller counts it again."""
        return {} if self._is_draining else {SESSIONS: float(self._door.sessions)}

    def _driver(self, session: str, socket: WebSocket, guest: Guest, wire: Wire) -> Driver:
        self._start_loops()
        serve_log.info("session %s, or one that is resumed, begins at a new socket", session)
        settings = self._config.turn
        return Driver(session, socket, self._services, settings, self._new_log, guest, wire)

    def _start_loops(self) -> None:
        """Not in the constructor, which runs in another event loop."""
        if not self._loops:
            services = self._services
            work = (
                services.batcher.run(),
                services.leases.run(),
                self._door.run(),
                self._watch_for_the_end(),
            )
            self._loops = [_task_of_its_own(loop) for loop in work]

    async def _watch_for_the_end(self) -> None:
        """Tells the sessions that the replica is about to stop, then again shortly before that."""
        while not is_draining():  # noqa: ASYNC110 - Serve has no event for this
            await asyncio.sleep(CHECK_S)
        self._is_draining = True
        left_s = time_left_s(self._config.ingress.drain_timeout_s)
        self._door.drain(left_s)
        if left_s > LAST_TURN_S:
            await asyncio.sleep(left_s - LAST_TURN_S)
            self._door.drain(LAST_TURN_S)

    def _new_log(self, name: str) -> EventLog | None:
        settings = self._config.ingress
        if not settings.event_log_dir:
            return None
        path = Path(settings.event_log_dir) / name
        try:
            return EventLog(path, self._config.turn, settings.event_log_audio)
        except OSError as error:
            log.warning("an event log cannot be written: %s", error)
            return None


def _task_of_its_own(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task in a context of its own. Serve cancels the calls that were made in a request's context
    when that request ends, but a session that loses its socket still has to finish the turn."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())


def _checkpoints(settings: SessionSettings) -> Checkpoints | None:
    url = os.environ.get(settings.redis_url_variable)
    return Checkpoints(url, settings.window_s, settings.max_history_chars) if url else None
