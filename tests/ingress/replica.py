"""The ingress replica as it is, behind a real HTTP server. Only what it calls is a script."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import Mock

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from deployments.ingress import Ingress
from serve_app.ingress.load import Load
from serve_app.ingress.voice_activity import VoiceActivityBatcher
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.leases import Leases
from serve_app.settings.schema import AppConfig
from tests.ingress.served import running
from tests.sessions.stores import OWN, Stores
from tests.web.small_server import Script

DEADLINE_S = 10.0
OPEN = {"type": "open", "prompt": "", "greeting": False, "events": ["state"]}


async def _anything(message: Any) -> Any:
    return message


@dataclass
class Replica:
    """Made by `replica`."""

    ingress: Ingress
    script: Script
    address: str = ""
    now_s: float | None = None
    """The time by which keys and limits are judged, if it is not the real one."""
    sockets: list[ClientConnection] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"ws://{self.address}/conversation"

    async def call(self, *, say: dict[str, Any] | None = None, **how: Any) -> ClientConnection:
        """A socket that has sent `open` with the fields of `say`. `how`: see `connect`."""
        socket = await connect(self.url, proxy=None, **how)
        self.sockets.append(socket)
        with suppress(ConnectionClosed):  # it was refused already
            await socket.send(msgpack.packb({**OPEN, **(say or {})}))
        return socket


@asynccontextmanager
async def replica(**args: Any) -> AsyncIterator[Replica]:
    """With these settings."""
    stand_in: Any = Mock()
    ingress = Ingress(AppConfig.model_validate(args), stand_in, stand_in, stand_in)
    script = Script()
    script.answers.append("Hello.")
    calls: Any = script
    actors = SessionActors(1, handles=Stores(OWN))
    ingress._services = replace(
        ingress._services,
        calls=calls,
        batcher=VoiceActivityBatcher(script.detect, Load()),
        actors=actors,
        leases=Leases(actors),
        check=_anything,
    )
    found = Replica(ingress, script)
    real_time = ingress._gate.now_s
    ingress._gate.now_s = lambda: real_time() if found.now_s is None else found.now_s
    async with running(ingress.__serve_build_asgi_app__()) as (port, _):
        found.address = f"127.0.0.1:{port}"
        try:
            yield found
        finally:
            for socket in found.sockets:
                await socket.close()
            for loop in ingress._loops:
                loop.cancel()


async def closing(socket: ClientConnection) -> tuple[int, str]:
    """How the server ends the connection."""
    async with asyncio.timeout(DEADLINE_S):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "no close frame"
            return closed.rcvd.code, closed.rcvd.reason


async def next_message(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of this kind. Raises ConnectionClosed."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            message: dict[str, Any] = msgpack.unpackb(await socket.recv())
            if message["type"] == kind:
                return message


async def says(socket: ClientConnection, text: str) -> None:
    """A typed turn. Returns once it is recorded: the client is told of the reply after that."""
    await socket.send(msgpack.packb({"type": "text", "text": text}))
    while (await next_message(socket, "state"))["state"] != "replying":
        pass


async def is_admitted(socket: ClientConnection) -> bool:
    """Whether the conversation has begun, and not ended."""
    return (await next_message(socket, "state"))["state"] == "waiting"
