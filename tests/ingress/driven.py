"""Drivers whose sockets end in a test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock

import msgpack
import numpy as np
from starlette.websockets import WebSocket

from serve_app.conversation.settings import FRAME_SAMPLES, TurnSettings
from serve_app.errors import EngineError
from serve_app.ingress.driver import Driver
from serve_app.ingress.load import Load
from serve_app.ingress.services import Services
from serve_app.ingress.voice_activity import VoiceActivityBatcher
from serve_app.protocol.messages import Open
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.leases import Leases
from serve_app.vad.jobs import VadAnswer, VadJob
from tests.sessions.stores import OWN, Stores

DEADLINE_S = 5.0
OPEN = {"type": "open", "prompt": "Be kind.", "greeting": False, "resume": True}
AUDIO = {"type": "audio", "audio": np.zeros(FRAME_SAMPLES, dtype="<f4").tobytes()}


class Client:
    """The other end of a driver's socket."""

    def __init__(self) -> None:
        self.sends: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gets: asyncio.Queue[Any] = asyncio.Queue()
        self.reads = asyncio.Event()
        """Set while it takes what it is sent."""
        self.reads.set()
        self.driver: Driver
        self.session: asyncio.Task[None]

    def send(self, message: dict[str, Any]) -> None:
        self.sends.put_nowait({"type": "websocket.receive", "bytes": msgpack.packb(message)})

    def hang_up(self, code: int = 1006) -> None:
        """With the code that the web server gives."""
        self.sends.put_nowait({"type": "websocket.disconnect", "code": code})

    async def take(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.gets.put_nowait(message)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            message: dict[str, Any] = await self.gets.get()
        return msgpack.unpackb(message["bytes"]) if "bytes" in message else message

    async def close_code(self) -> int:
        async with asyncio.timeout(DEADLINE_S):
            while (message := await self.next())["type"] != "websocket.close":
                pass
        return int(message["code"])


async def _whatever_it_asks(message: Open) -> Open:
    return message


class Replica:
    """What the sessions of an ingress replica share, with a VAD that may fail."""

    def __init__(self) -> None:
        self.stores = Stores(OWN)
        self.vad_fails = False
        self.settings = TurnSettings()
        actors = SessionActors(1, handles=self.stores)
        self.services = Services(
            AsyncMock(),
            VoiceActivityBatcher(self._detect, Load()),
            actors,
            Leases(actors),
            window_s=60.0,
            check=_whatever_it_asks,
        )

    async def _detect(self, jobs: list[VadJob]) -> list[VadAnswer]:
        if self.vad_fails:
            raise EngineError("vad", "ValueError")
        return [VadAnswer(job.row, job.frames[:, 0]) for job in jobs]

    @property
    def kept(self) -> list[str]:
        return list(self.stores.stores[OWN].entries)

    @asynccontextmanager
    async def client(self, name: str, event_log: Any = None) -> AsyncIterator[Client]:
        client = Client()
        socket = WebSocket({"type": "websocket"}, client.sends.get, client.take)
        client.sends.put_nowait({"type": "websocket.connect"})
        await socket.accept()
        await client.next()
        client.driver = Driver(name, socket, self.services, self.settings, lambda name: event_log)
        client.session = asyncio.create_task(client.driver.run(open_timeout_s=30.0))
        yield client
        client.driver.leave()
        await client.session


async def opened(replica: Replica, client: Client) -> str:
    """A new conversation's token."""
    client.send(OPEN)
    token = str((await client.next())["resume_token"])
    await replica.stores.has_saved.wait()
    return token


def resuming(token: str) -> dict[str, Any]:
    return {"type": "open", "resume_token": token}
