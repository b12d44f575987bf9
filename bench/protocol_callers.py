"""Callers that say the same by different protocols. All have a microphone that is always open, and
note when audio came: nothing else differs between the protocols."""

import asyncio
import base64
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import msgpack
import numpy as np
import soxr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import TOKEN_BYTES, Samples
from serve_app.protocol.sound import MU_LAW, PCM
from serve_app.records.notes import as_pcm
from tests.protocol.telephony.twilio import Twilio

_ECHO_HZ = 24_000
"""Of the agent's audio."""
_WITHIN_S = 20.0
_QUIET_S = 0.6
"""After the last audio of a reply has been played."""


class Caller:
    """One call. Its protocol says how audio is sent, and what a frame brings."""

    def __init__(
        self,
        socket: ClientConnection,
        rate_hz: int,
        chunk_s: float,
        send: Callable[[Samples], Awaitable[None]],
    ) -> None:
        """Sends `rate_hz` in chunks of `chunk_s`."""
        self.socket = socket
        self._rate_hz = rate_hz
        self._chunk = round(chunk_s * rate_hz)
        self._send = send
        self._speech: deque[tuple[Samples, asyncio.Future[float]]] = deque()
        self._heard = asyncio.Condition()
        self._first_s = 0.0
        """When the first audio came since `say` was called last (time.monotonic()); 0 if none."""
        self.plays_until_s = 0.0
        """When all audio that came will have been played (time.monotonic())."""

    async def say(self, samples: Samples) -> float:
        """16 kHz. Returns, after the last sample, when that was spoken (time.monotonic())."""
        at_rate = soxr.resample(samples, SAMPLE_RATE_HZ, self._rate_hz)
        spoken: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._first_s = 0.0
        self._speech.append((at_rate, spoken))
        return await spoken

    async def answered(self) -> float:
        """When the first audio came (time.monotonic()). Raises TimeoutError."""
        async with asyncio.timeout(_WITHIN_S), self._heard:
            await self._heard.wait_for(lambda: self._first_s)
        return self._first_s

    async def hear_out(self) -> None:
        """Returns when the reply has been played."""
        while (left_s := self.plays_until_s + _QUIET_S - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left_s)  # it is a clock

    async def heard(self, seconds: float) -> None:
        """Audio came, which takes this long to play."""
        now_s = time.monotonic()
        async with self._heard:
            self._first_s = self._first_s or now_s
            self.plays_until_s = max(now_s, self.plays_until_s) + seconds
            self._heard.notify_all()

    async def keep_microphone_open(self) -> None:
        """Speech, and silence in between, in real time."""
        due_s = time.monotonic()
        silence: Samples = np.zeros(self._chunk, np.float32)
        while True:
            said, spoken = self._speech.popleft() if self._speech else (silence, None)
            for at in range(0, len(said), self._chunk):
                part = said[at : at + self._chunk]
                due_s += self._chunk / self._rate_hz
                await asyncio.sleep(due_s - time.monotonic())
                await self._send(np.pad(part, (0, self._chunk - len(part))))
            if spoken is not None:
                spoken.set_result(due_s)


Calling = Callable[[str, str], AbstractAsyncContextManager[Caller]]
"""A call to HOST:PORT with this prompt."""


@asynccontextmanager
async def _open(
    caller: Caller, take: Callable[[str | bytes], Awaitable[None]]
) -> AsyncIterator[Caller]:
    """Until the end of the block. Raises an ExceptionGroup if the call ends before."""

    async def listen() -> None:
        async for frame in caller.socket:
            await take(frame)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(listen()), group.create_task(caller.keep_microphone_open())]
        yield caller
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def by_echo(address: str, prompt: str) -> AsyncIterator[Caller]:
    """`/conversation`: MessagePack, float32 at 16 kHz, pcm back."""
    async with connect(
        f"ws://{address}/conversation", proxy=None, compression=None, max_size=None
    ) as socket:

        async def send(samples: Samples) -> None:
            audio = samples.astype("<f4").tobytes()
            await socket.send(msgpack.packb({"type": "audio", "audio": audio}))

        async def take(frame: str | bytes) -> None:
            message = msgpack.unpackb(frame)
            if message["type"] == "audio":
                size = len(message["audio"]) - TOKEN_BYTES
                await caller.heard(size / PCM.bytes_per_sample / _ECHO_HZ)

        caller = Caller(socket, SAMPLE_RATE_HZ, 0.032, send)
        options = {"prompt": prompt, "sample_rate_hz": _ECHO_HZ, "greeting": False}
        await socket.send(msgpack.packb({"type": "open", **options}))
        async with _open(caller, take):
            yield caller


@asynccontextmanager
async def by_realtime(address: str, prompt: str) -> AsyncIterator[Caller]:
    """`/v1/realtime`: JSON, pcm16 at 24 kHz as base64 both ways."""
    async with connect(
        f"ws://{address}/v1/realtime", proxy=None, compression=None, max_size=None
    ) as socket:

        async def send(samples: Samples) -> None:
            audio = base64.b64encode(as_pcm(samples)).decode()
            event = {"type": "input_audio_buffer.append", "audio": audio}
            await socket.send(json.dumps(event))

        async def take(frame: str | bytes) -> None:
            event = json.loads(frame)
            if event["type"] == "response.output_audio.delta":
                size = len(base64.b64decode(event["delta"]))
                await caller.heard(size / PCM.bytes_per_sample / PCM.rate_hz)

        caller = Caller(socket, PCM.rate_hz, 0.032, send)
        session = {"type": "realtime", "instructions": prompt}
        await socket.send(json.dumps({"type": "session.update", "session": session}))
        async with _open(caller, take):
            yield caller


@asynccontextmanager
async def by_telephone(address: str, prompt: str) -> AsyncIterator[Caller]:
    """`/telephony/media`: JSON, mu-law at 8 kHz in chunks of 20 ms as base64 both ways. A mark
    comes back when what was sent before it has been played."""
    async with connect(f"ws://{address}/telephony/media", proxy=None, compression=None) as socket:
        twilio, chunks = Twilio(prompt=prompt, greeting="false"), 0
        marks: set[asyncio.Task[None]] = set()

        async def send(samples: Samples) -> None:
            nonlocal chunks
            chunks += 1
            await socket.send(twilio.media(chunks, MU_LAW.encode(as_pcm(samples))))

        async def send_back(mark: str, at_s: float) -> None:
            await asyncio.sleep(at_s - time.monotonic())
            with suppress(ConnectionClosed):
                await socket.send(twilio.mark(mark))

        async def take(frame: str | bytes) -> None:
            message = json.loads(frame)
            if message["event"] == "media":
                size = len(base64.b64decode(message["media"]["payload"]))
                await caller.heard(size / MU_LAW.rate_hz)
            elif message["event"] == "mark":
                name, at_s = message["mark"]["name"], caller.plays_until_s
                marks.add(task := asyncio.create_task(send_back(name, at_s)))
                task.add_done_callback(marks.discard)

        caller = Caller(socket, MU_LAW.rate_hz, 0.02, send)
        await socket.send(twilio.connected())
        await socket.send(twilio.start())
        async with _open(caller, take):
            yield caller


PROTOCOLS: dict[str, Calling] = {
    "/conversation": by_echo,
    "/v1/realtime": by_realtime,
    "/telephony/media": by_telephone,
}
