"""A client of the Echo protocol that plays in real time, as a real one does.

Like Echo's own client it sends `waiting` when its playback queue runs dry and drops the queue at
`interrupt`; but it keeps the audio instead of giving it to a sound card.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgpack
import numpy as np
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from serve_app.client.connection import connected
from serve_app.client.playback import Loudspeaker, Playback, Received
from serve_app.client.resumption import Resumption
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.formats import AudioFormat
from serve_app.protocol.messages import Samples

MIC_SAMPLES = 512
"""32 ms a message; Echo recommends 30 to 250 ms."""
KEY_VARIABLE = "ECHO_SERVE_KEY"
_AGAIN_BYTES = 4 * SAMPLE_RATE_HZ
_SILENCE: Samples = np.zeros(MIC_SAMPLES, dtype=np.float32)


class EchoSession:
    """One conversation from the client's side. Made by `converse`.

    With `resume`, it goes on at another socket when this one is lost. What the user was saying, and
    typed texts that the server has not taken, are sent again there; all other messages wait until
    the new socket is open.
    """

    def __init__(
        self,
        socket: ClientConnection,
        audio_format: AudioFormat,
        url: str = "",
        resume: bool = False,
        loudspeaker: Loudspeaker | None = None,
        key: str = "",
    ) -> None:
        self.playback = Playback(audio_format, loudspeaker)
        self.received: list[Received] = []
        self.microphone: asyncio.Task[None]
        self.listener: asyncio.Task[None]
        """Ends with the conversation."""
        self._url = url
        self._key = key
        self._resumption = Resumption() if resume else None
        self._is_connected = asyncio.Event()
        self._is_connected.set()
        self._is_sending_again = False
        self._is_over = False
        self._socket = socket
        self._speech: deque[tuple[Samples, asyncio.Future[tuple[float, float]]]] = deque()
        self._news = asyncio.Condition()
        self._seen = 0

    async def open(self, prompt: str, events: Iterable[str] = (), **options: Any) -> None:
        """`options`: see protocol.messages.Open."""
        fields: dict[str, Any] = {"type": "open", "prompt": prompt, **options}
        if self._resumption:
            fields["resume"] = True
            events = {*events, *self._resumption.events}
        if wanted := sorted(events):
            fields["events"] = wanted
        await self.send(fields)

    async def send(self, fields: dict[str, Any]) -> None:
        """Raises ConnectionClosed when the conversation is over."""
        is_said_again = self._resumption is not None and fields["type"] == "audio"
        if self._resumption and is_said_again:
            self._resumption.recent.add(fields["audio"], is_sent=not self._is_sending_again)
        if self._resumption and fields["type"] == "text":
            fields = self._resumption.number(fields)
        while self._is_connected.is_set() or not is_said_again:
            if await self._is_sent(fields):
                return
            self._is_connected.clear()

    async def _is_sent(self, fields: dict[str, Any]) -> bool:
        await self._is_connected.wait()
        if self._resumption and fields["type"] == "text":
            await self._resumption.may_begin.wait()
        try:
            await self._socket.send(msgpack.packb(fields))
            return True
        except ConnectionClosed:
            if self._is_over or not self._resumption:
                raise
            return False

    @property
    def resumes(self) -> int:
        """How often the client has come back."""
        return self._resumption.count if self._resumption else 0

    @property
    def close_code(self) -> int | None:
        """The last connection's close code; None while it is open."""
        return self._socket.close_code

    @property
    def close_reason(self) -> str:
        """The last connection's."""
        return self._socket.close_reason or ""

    async def lose_connection(self) -> None:
        """Drops the connection without a close frame, as a crash would."""
        self._socket.transport.abort()
        await self._socket.wait_closed()

    async def hang_up(self) -> None:
        """Closes the socket without ending the conversation first."""
        await self._socket.close()

    def stop_microphone(self) -> None:
        """From now on only the caller sends audio."""
        self.microphone.cancel()

    async def say(self, samples: Samples) -> tuple[float, float]:
        """Speaks into the open microphone. Returns, after the last sample, when the first and the
        last one were spoken (time.monotonic())."""
        spoken: asyncio.Future[tuple[float, float]] = asyncio.get_running_loop().create_future()
        self._speech.append((samples, spoken))
        return await spoken

    async def next(self, *kinds: str, timeout_s: float | None = 90.0) -> Received:
        """The next message of these kinds; messages before it are skipped. Raises TimeoutError,
        and ConnectionError when the conversation is over."""
        async with asyncio.timeout(timeout_s), self._news:
            while True:
                while self._seen < len(self.received):
                    message = self.received[self._seen]
                    self._seen += 1
                    if message.kind in kinds:
                        return message
                if self._is_over:
                    socket = self._socket
                    raise ConnectionError(f"{socket.close_code} {socket.close_reason}".strip())
                await self._news.wait()

    def forget(self) -> list[Received]:
        """Drops, and returns, the messages that `next` has gone past, and drops the audio that was
        played: for a session that goes on for hours."""
        past = self.received[: self._seen]
        del self.received[: self._seen]
        self._seen = 0
        self.playback.heard.clear()
        return past

    async def listen(self) -> None:
        """Receives messages and plays audio until the conversation is over."""
        player = asyncio.create_task(self._say_when_dry())
        try:
            await self._listen_here()
            while await self._come_back():
                await self._listen_here()
        finally:
            player.cancel()
            self._is_over = True
            self._is_connected.set()
            if self._resumption:
                self._resumption.may_begin.set()
            async with self._news:
                self._news.notify_all()

    async def _listen_here(self) -> None:
        try:
            async for frame in self._socket:
                await self._take(frame)
        except ConnectionClosed:
            if not self._resumption:
                raise

    async def _take(self, frame: bytes | str) -> None:
        fields = msgpack.unpackb(frame)
        message = Received(time.monotonic(), fields.pop("type"), fields)
        if self._resumption and self._resumption.take(message):
            await self._go_on_here(self._resumption)
        self.playback.take(message)
        async with self._news:
            self.received.append(message)
            self._news.notify_all()

    async def _go_on_here(self, resumption: Resumption) -> None:
        """Sends again what the server has not heard, and what is said meanwhile. What is waiting
        follows."""
        self._is_sending_again = True
        try:
            for text in resumption.typed.copy():
                await self._socket.send(msgpack.packb(text))
            while audio := resumption.recent.next_unsent(_AGAIN_BYTES):
                await self._socket.send(msgpack.packb({"type": "audio", "audio": audio}))
        except ConnectionClosed:
            return  # the next socket begins with the same
        finally:
            self._is_sending_again = False
        self._is_connected.set()
        resumption.may_begin.set()

    async def _come_back(self) -> bool:
        """Opens a new connection; False when the conversation is over."""
        self._is_connected.clear()
        self.playback.stop()
        resumption, code = self._resumption, self._socket.close_code
        if resumption:
            resumption.recent.is_cut = True
        while resumption and (pause_s := resumption.next_pause_s(code)) is not None:
            await asyncio.sleep(pause_s)
            with suppress(OSError, WebSocketException):
                self._socket = await connected(self._url, self._key)
                await self._socket.send(msgpack.packb(resumption.opening(self.playback)))
                return True
        return False

    async def keep_microphone_open(self) -> None:
        """Sends speech, and silence in between, in real time."""
        due = time.monotonic()
        while True:
            if self._speech:
                samples, spoken = self._speech.popleft()
                start, due = due, await self._send_from(due, samples)
                spoken.set_result((start, start + len(samples) / SAMPLE_RATE_HZ))
            else:
                due = await self._send_from(due, _SILENCE)

    async def _send_from(self, due: float, samples: Samples) -> float:
        for at in range(0, len(samples), MIC_SAMPLES):
            chunk = np.zeros(MIC_SAMPLES, dtype="<f4")
            chunk[: len(samples) - at] = samples[at : at + MIC_SAMPLES]
            # A microphone delivers a chunk when its last sample has been spoken.
            due += MIC_SAMPLES / SAMPLE_RATE_HZ
            await asyncio.sleep(due - time.monotonic())
            await self.send({"type": "audio", "audio": chunk.tobytes()})
        return due

    async def _say_when_dry(self) -> None:
        while True:
            async with self._news:
                await self._news.wait_for(lambda: self.playback.left_s() > 0)
            await self._play_to_the_end()
            await self.send({"type": "state", "state": "waiting"})

    async def _play_to_the_end(self) -> None:
        """More audio, or an interrupt, may arrive while this waits."""
        while (left_s := self.playback.left_s()) > 0:  # noqa: ASYNC110 - it is a clock
            await asyncio.sleep(left_s)
        self.playback.advance(time.monotonic())


@asynccontextmanager
async def converse(
    url: str,
    audio_format: AudioFormat,
    resume: bool = False,
    loudspeaker: Loudspeaker | None = None,
    key: str | None = None,
) -> AsyncIterator[EchoSession]:
    """A connected session; ends the conversation and closes the socket on the way out. `key`: if it
    is left out, that of the environment (ECHO_SERVE_KEY).

    With `resume`, a lost connection is replaced by a new one, and the conversation goes on.
    """
    key = os.environ.get(KEY_VARIABLE, "") if key is None else key
    async with await connected(url, key) as socket:
        session = EchoSession(socket, audio_format, url, resume, loudspeaker, key)
        listener = session.listener = asyncio.create_task(session.listen())
        session.microphone = asyncio.create_task(session.keep_microphone_open())
        try:
            yield session
            if not listener.done():
                with suppress(ConnectionClosed):  # it is over already
                    await session.send({"type": "close"})
            await asyncio.wait({listener}, timeout=5)
        finally:
            for task in (listener, session.microphone):
                task.cancel()
            await asyncio.gather(listener, session.microphone, return_exceptions=True)
            await session.hang_up()
