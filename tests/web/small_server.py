"""The page and real conversations in one process: real sockets, drivers, sessions and VAD, with a
script in the place of Whisper, the chat model and the voice. It starts at once, and it can be full
and be lost."""

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from serve_app.access.credentials import chosen
from serve_app.agent.engines import Speech
from serve_app.agent.parts import Began, Called, ReplyPart, ToolUsed
from serve_app.agent.speaker import pieces
from serve_app.conversation.calls import NO_OFFER, Offer, Step
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.piece import Piece
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.sound import Sound
from serve_app.ingress.driver import Driver
from serve_app.ingress.load import Load, Shed
from serve_app.ingress.page import page_routes
from serve_app.ingress.services import Services
from serve_app.ingress.voice_activity import VoiceActivityBatcher
from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import Open, Samples
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.leases import Leases
from serve_app.stt.job import Heard, Request
from serve_app.vad.jobs import VadAnswer, VadJob
from serve_app.vad.silero import SileroVad
from tests.serve.conftest import free_port
from tests.sessions.stores import OWN, Stores
from tests.web.echo_client import echo_client

CHARS_PER_S = 15
ECHOS_RATE_HZ = 44_100
_TONE_HZ = 220


class Script:
    """Stands in for `Calls`: what the user says, and what the agent answers."""

    def __init__(self) -> None:
        self.heard = ""
        """What the user says. Speech is transcribed several times, so a test changes this when the
        turn before has been answered."""
        self.answers: deque[str] = deque()
        self.chats: list[Sequence[ChatMessage]] = []
        """What the agent was asked."""
        self.offers: list[Offer] = []
        """The tools that it was told of."""
        self.calls: deque[Step] = deque()
        """What the next replies ask the client for, in place of an answer."""
        self.used: list[ToolUsed] = []
        """What the next reply has used of the server's."""
        self.microphone: list[Samples] = []
        """All that was heard, at 16 kHz."""
        self.is_busy = False
        self.is_at_ease = True
        self._vad = SileroVad()

    def sheds(self, shed: Shed) -> bool:
        return False

    async def detect(self, jobs: list[VadJob]) -> list[VadAnswer]:
        self.microphone += [job.frames.reshape(-1) for job in jobs]
        return self._vad.detect(jobs)

    async def judge(self, samples: Samples) -> float | None:
        return 1.0

    async def transcribe(self, request: Request) -> Heard:
        await asyncio.sleep(0.05)
        return Heard(self.heard, "en")

    def reply(
        self,
        chat: Sequence[ChatMessage],
        sound: Sound,
        is_draft: bool,
        offer: Offer = NO_OFFER,
        tells_tools: bool = False,
    ) -> "_Reply":
        self.chats.append(chat)
        self.offers.append(offer)
        if self.calls:
            return _Reply("", sound, Called((self.calls.popleft(),)))
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.popleft()
        used, self.used = self.used if tells_tools else [], []
        return _Reply(answer, sound, used=used)

    def say(self, text: str, sound: Sound) -> "_Reply":
        return _Reply(text, sound)


class _Reply:
    """A tone, as long as the text takes to say."""

    def __init__(
        self,
        text: str,
        sound: Sound,
        called: Called | None = None,
        used: Sequence[ToolUsed] = (),
    ) -> None:
        self._called = called
        self._used = used
        rate_hz = sound.sample_rate_hz or ECHOS_RATE_HZ
        self._parts = self._written(text) if sound.is_text else self._made(text, rate_hz)

    async def _made(self, text: str, rate_hz: int) -> AsyncIterator[ReplyPart]:
        await asyncio.sleep(0.12)
        if self._called is not None:
            yield self._called
            return
        yield Began()
        for tool in self._used:
            yield tool
        await asyncio.sleep(0.08)
        seconds = np.arange(int(len(text) / CHARS_PER_S * rate_hz)) / rate_hz
        tone = (9000 * np.sin(2 * np.pi * _TONE_HZ * seconds)).astype("<i2").tobytes()
        for piece in pieces(Speech(tone, text), parse_format(f"pcm_{rate_hz}")):
            yield piece

    async def _written(self, text: str) -> AsyncIterator[ReplyPart]:
        yield Began()
        yield Piece(b"", text, 0.0)

    async def next(self) -> ReplyPart | None:
        return await anext(self._parts, None)

    def cancel(self) -> None:
        return


async def _whatever_it_asks(message: Open) -> Open:
    return message


class SmallServer:
    """Made by `serving`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.script = Script()
        self.is_full = False
        self.sockets = 0
        """How many were opened."""
        self.offered: list[list[str]] = []
        """The subprotocols of each."""
        self.live = 0
        """How many conversations there are."""
        self._stores = Stores(OWN)
        actors = SessionActors(1, handles=self._stores)
        batcher = VoiceActivityBatcher(self.script.detect, Load())
        calls: Any = self.script
        self.services = Services(calls, batcher, actors, Leases(actors), 60.0, _whatever_it_asks)
        self._server: uvicorn.Server
        self._serving: asyncio.Task[None]

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/"

    async def start(self) -> None:
        routes = [
            WebSocketRoute("/conversation", self._conversation),
            WebSocketRoute("/conversation/websocket", self._conversation),
            *page_routes(),
            echo_client,
        ]
        config = uvicorn.Config(
            Starlette(routes=routes),
            host="127.0.0.1",
            port=self.port,
            log_level="warning",
            ws="websockets-sansio",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server._serve())
        async with asyncio.timeout(10):
            while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)

    async def lose(self) -> None:
        """As a crash does: no close frames, and nobody listens at the port."""
        for listener in self._server.servers:
            listener.close()
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._server.should_exit = self._server.force_exit = True
        await self._serving

    def forget(self) -> None:
        """All sessions that are kept."""
        self._stores.stores[OWN].entries.clear()

    async def _conversation(self, socket: WebSocket) -> None:
        self.offered.append(socket.scope.get("subprotocols", []))
        await socket.accept(chosen(self.offered[-1]))
        self.sockets += 1
        if self.is_full:
            await socket.close(CloseCode.AT_CAPACITY, "all sessions are taken: try again later")
            return
        driver = Driver(uuid.uuid4().hex, socket, self.services, TurnSettings())
        self.live += 1
        try:
            await asyncio.shield(asyncio.ensure_future(driver.run(30.0)))
        finally:
            self.live -= 1
            driver.leave()


@asynccontextmanager
async def serving() -> AsyncIterator[SmallServer]:
    server = SmallServer(free_port())
    batcher = asyncio.create_task(server.services.batcher.run())
    await server.start()
    try:
        yield server
    finally:
        await server.lose()
        batcher.cancel()
