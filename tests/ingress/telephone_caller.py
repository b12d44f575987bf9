"""A telephone call at the ingress replica, by a stand-in for Twilio: it sends what a caller says in
chunks of 20 ms, plays what it gets at the rate of a clock, sends marks back when what was before
them is played, and when it is told to clear, all at once."""

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from serve_app.client.speech import trim
from serve_app.protocol.messages import Samples
from serve_app.protocol.sound import MU_LAW
from tests.ingress.replica import DEADLINE_S
from tests.protocol.telephony.twilio import CHUNK_BYTES, CHUNK_MS, Twilio
from tests.speech import clip

SENTENCE = "librivox_0930"
SILENCE = b"\xff"
_SILENCE_MS = 2000
Network = Callable[[Sequence[str]], Sequence[str]]
"""What becomes of messages on their way."""


@asynccontextmanager
async def phoning(address: str, **parameters: str) -> AsyncIterator["Telephone"]:
    """With these custom parameters."""
    async with connect(f"ws://{address}/telephony/media", proxy=None) as socket:
        call = Telephone(socket, Twilio(**parameters))
        with suppress(ConnectionClosed):
            await socket.send(call.twilio.connected())
            await socket.send(call.twilio.start())
        tasks = [asyncio.create_task(call.receive()), asyncio.create_task(call.play())]
        try:
            yield call
        finally:
            for task in tasks:
                task.cancel()


class Telephone:
    def __init__(self, socket: ClientConnection, twilio: Twilio) -> None:
        self.socket = socket
        self.twilio = twilio
        self.got: list[dict[str, Any]] = []
        """All messages, as they came."""
        self.played = bytearray()
        """Of the agent's voice."""
        self.plays = asyncio.Event()
        """Set while the caller hears what there is."""
        self.plays.set()
        self._changed = asyncio.Condition()
        self._buffer: deque[bytes | str] = deque()
        """Chunks of audio, and names of marks."""
        self._chunks = 0

    # --- the caller's side ---

    async def say(self, name: str = SENTENCE, network: Network = list) -> None:
        """A recording, then silence, as fast as the server takes it."""
        await self.send(as_mu_law(trim(clip(name))), network)
        await self.send(SILENCE * (_SILENCE_MS * 8))

    async def send(self, sound: bytes, network: Network = list) -> None:
        chunks = chunks_of(sound)
        messages = [self.twilio.media(n, c) for n, c in enumerate(chunks, self._chunks + 1)]
        self._chunks += len(chunks)
        for message in network(messages):
            await self.socket.send(message)

    async def press(self, keys: str) -> None:
        for key in keys:
            await self.socket.send(self.twilio.dtmf(key))

    # --- Twilio's side ---

    async def receive(self) -> None:
        with suppress(ConnectionClosed):
            async for frame in self.socket:
                await self._take(json.loads(frame))

    async def _take(self, message: dict[str, Any]) -> None:
        async with self._changed:
            self.got.append(message)
            marks: list[str] = []
            match message["event"]:
                case "media":
                    self._buffer += chunks_of(base64.b64decode(message["media"]["payload"]))
                case "mark":
                    self._buffer.append(message["mark"]["name"])
                case "clear":
                    marks = [mark for mark in self._buffer if isinstance(mark, str)]
                    self._buffer.clear()
            self._changed.notify_all()
        await self.send_back(*marks)

    async def play(self) -> None:
        """A mark comes back when what was sent before it is played. Audio takes its time."""
        with suppress(ConnectionClosed):
            while True:
                await self.plays.wait()
                async with self._changed:
                    await self._changed.wait_for(lambda: self._buffer)
                    item = self._buffer.popleft()
                if isinstance(item, str):
                    await self.send_back(item)
                else:
                    await asyncio.sleep(len(item) / CHUNK_BYTES * CHUNK_MS / 1000)
                    async with self._changed:
                        self.played += item
                        self._changed.notify_all()

    async def send_back(self, *marks: str) -> None:
        for mark in marks:
            await self.socket.send(self.twilio.mark(mark))

    # --- what a test waits for ---

    async def until(self, event: str, count: int = 1) -> dict[str, Any]:
        """The message with which so many of these have come."""

        def those() -> list[dict[str, Any]]:
            return [message for message in self.got if message["event"] == event]

        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(lambda: len(those()) >= count)
        return those()[count - 1]

    async def has_played(self, seconds: float) -> None:
        """Of the agent's voice, in all."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.played) >= int(seconds * 8000))

    async def ending(self) -> tuple[int, str]:
        """How the server ends the call."""
        async with asyncio.timeout(DEADLINE_S):
            await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code, self.socket.close_reason or ""


def chunks_of(sound: bytes) -> list[bytes]:
    return [sound[start : start + CHUNK_BYTES] for start in range(0, len(sound), CHUNK_BYTES)]


def as_mu_law(samples: Samples) -> bytes:
    """As a telephone network sends 16 kHz, without much of a filter."""
    at_8_khz = (samples[: len(samples) // 2 * 2].reshape(-1, 2).mean(axis=1) * 32767).astype("<i2")
    return MU_LAW.encode(at_8_khz.tobytes())


def heard_by(call: Telephone) -> Samples:
    """The agent's voice, as far as it was played."""
    return MU_LAW.decode(bytes(call.played))


def tone_hz(samples: Samples) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * 8000 / len(samples))
