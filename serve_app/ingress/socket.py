"""The socket of one session. Messages from the client are handed over as they come; those to it
wait in a queue.

socket ──▶ pace ──▶ read ──message──▶ driver
socket ◀── write ◀── outbox ◀── send, barrier, close

Audio that was sent before an `interrupt` is dead after it: the client would drop it, so it is not
written any more. How much audio waits is known, because what is not written cannot be heard.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from starlette.websockets import WebSocket, WebSocketDisconnect

from serve_app.errors import ProtocolViolation, TooSlow, VoiceError
from serve_app.ingress.intake import bounded
from serve_app.ingress.outbox import Barrier, CloseFrame, Outbox, Piece
from serve_app.ingress.pace import Pace
from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.echo_wire import EchoWire
from serve_app.protocol.messages import (
    Audio,
    ClientMessage,
    Interrupt,
    ServerMessage,
    Text,
    ToolResult,
)
from serve_app.protocol.wire import AudioFrame, Frame, Wire, Writing
from serve_app.settings.limits import MessageLimits

_STUCK_S = 20.0
"""A client that takes no message for this long reads nothing."""
_LATE_S = 0.05
"""Audio that is written later than this after it was sent moves the playback clock."""
_WRONG: dict[int, CloseCode] = {
    code: code
    for code in (CloseCode.BAD_FRAME, CloseCode.NOT_MSGPACK, CloseCode.TOO_BIG, CloseCode.TOO_FAST)
}
"""What the web server below closes a socket with that breaks the rules of frames, by number."""
_REASON_BYTES = 123
"""The most that RFC 6455 allows."""


class ClientSocket:
    """Reads and writes one accepted socket, in two tasks: `read` and `write`."""

    def __init__(
        self,
        socket: WebSocket,
        fail: Callable[[VoiceError], None],
        backlog_is: Callable[[int], None],
        limits: MessageLimits | None = None,
        wire: Wire | None = None,
    ) -> None:
        """`fail` is told when the client does not read what it is sent, `backlog_is` how much audio
        waits: see `tell_backlog`. `limits`: what the client may send. `wire`: its
        protocol; None is Echo's."""
        limits = limits or MessageLimits()
        self._socket = socket
        self._intake = bounded(socket._receive)
        self._pace = Pace(limits.rates)
        self._wire: Wire = wire or EchoWire(limits.frames)
        self._fail = fail
        self._backlog_is = backlog_is
        self._is_closing = False
        self._outbox = Outbox()
        self._interrupts = 0
        self._backlog = 0
        """Messages of audio that were sent since the last interrupt, and are not written yet."""
        self._told = 0

    # --- to the client: these never wait; the session fails if the client does not read ---

    def send(self, message: ServerMessage) -> None:
        if isinstance(message, Interrupt):
            self._interrupts += 1
            self._backlog = 0
        self._put_all(self._wire.write(message))

    def greet(self, must_be_known: Callable[[], None]) -> None:
        """Sends what the protocol begins with, if that is anything, to who is known."""
        if greeting := self._wire.greeting():
            must_be_known()
            self._put_all(greeting)

    def tell_backlog(self) -> None:
        """Says how many messages of audio wait, if it is not what was said last. To be called where
        it matters; a backlog that was told is followed until there is none, and audio that is
        written late is told by itself: before it counts as written, and after."""
        if self._told != self._backlog:
            self._told = self._backlog
            self._backlog_is(self._told)

    def barrier(self, until: Barrier) -> None:
        """What is sent after this waits until `until` has returned."""
        self._put(until)

    def close(self, code: int, reason: str) -> None:
        """Closes the socket after everything that was sent; what is sent later is dropped. If the
        client does not read, nothing that waits is written any more: only why it is closed."""
        if self._is_closing:
            return
        self._is_closing = True
        if code == CloseCode.TOO_SLOW:
            self._outbox.clear()
        self._outbox.put(CloseFrame(code, reason))

    def _put_all(self, frames: Writing) -> None:
        for frame in frames:
            if not isinstance(frame, AudioFrame):
                self._put(frame)
            elif self._put(Piece(frame.frame, self._interrupts, _now_s())):
                self._backlog += 1

    def _put(self, item: Frame | Piece | Barrier) -> bool:
        """Whether it will be written."""
        if self._is_closing:
            return False
        if self._outbox.is_full:
            self._fail(TooSlow("the client does not read what it is sent"))
            return False
        self._outbox.put(item)
        return True

    # --- the two tasks ---

    async def read(self, receive: Callable[[ClientMessage], Awaitable[None]]) -> None:
        """Until the client is gone. Raises ProtocolViolation, TooFast, and what `receive` raises.
        A client that sends more than is taken is read later."""
        try:
            while True:
                frame = await self._frame()
                # Without any wait this gives way, too: frames that are here already keep nobody
                # out.
                await asyncio.sleep(self._pace.message(len(frame), _now_s()))
                reading = self._wire.read(frame)
                self._put_all(reading.answers)
                await self._make_wait_for(reading.answers)
                for message in reading.messages:
                    await self._make_wait(message, len(frame))
                    await receive(message)
        except WebSocketDisconnect as gone:
            if code := _WRONG.get(gone.code):
                raise ProtocolViolation(gone.reason, code) from None
        except RuntimeError:
            return

    async def _make_wait_for(self, answers: Sequence[Frame]) -> None:
        """A short message may have a long answer, which is counted as if the client had sent it."""
        if answers:
            await asyncio.sleep(self._pace.answered(sum(map(len, answers)), _now_s()))

    async def _make_wait(self, message: ClientMessage, frame_size: int) -> None:
        match message:
            case Text(text) | ToolResult(output=text):
                await asyncio.sleep(self._pace.text(len(text.encode()), _now_s()))
            case Audio(samples) if (more := samples.nbytes - frame_size) > 0:
                await asyncio.sleep(self._pace.unpacked(more, _now_s()))

    async def _frame(self) -> Frame:
        """The next frame, binary or text. Raises WebSocketDisconnect."""
        message = await self._socket.receive()
        if self._intake is not None:
            self._intake.take(message)
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006), message.get("reason"))
        data = message.get("bytes")
        return data if data is not None else str(message["text"])

    async def write(self) -> bool:
        """Until the socket is closed. Returns False if the client was gone before that."""
        try:
            while not isinstance(item := await self._outbox.next(), CloseFrame):
                try:
                    async with asyncio.timeout(_STUCK_S):
                        await self._write(item)
                except TimeoutError:
                    self._fail(TooSlow("the client does not read what it is sent"))
            await self._say_farewell(item)
            await self._socket.close(item.code, _fitting(item.reason))
        except (WebSocketDisconnect, RuntimeError):
            return False
        return True

    async def _say_farewell(self, close: CloseFrame) -> None:
        """Not to who does not read: nothing may keep the close frame back."""
        if close.code != CloseCode.TOO_SLOW:
            for frame in self._wire.farewell(close.code, close.reason):
                await self._write(frame)

    async def _write(self, item: Frame | Piece | Barrier) -> None:
        match item:
            case bytes() | str():
                await _send(self._socket, item)
            case Piece():
                await self._write_audio(item)
            case _:
                await item()

    async def _write_audio(self, audio: Piece) -> None:
        if self._is_dead(audio):
            return
        await self._write(audio.frame)
        if self._is_dead(audio):
            return
        is_late = _now_s() - audio.sent_s > _LATE_S
        if is_late:
            self.tell_backlog()  # until now it was not heard
        self._backlog -= 1
        if is_late or self._told:
            self.tell_backlog()

    def _is_dead(self, audio: Piece) -> bool:
        return audio.interrupts < self._interrupts


async def refuse(socket: WebSocket, wire: Wire, code: int, reason: str) -> None:
    """Closes an accepted socket that gets no session."""
    for frame in wire.farewell(code, reason):
        await _send(socket, frame)
    await socket.close(code, reason)


async def _send(socket: WebSocket, frame: Frame) -> None:
    if isinstance(frame, bytes):
        await socket.send_bytes(frame)
    else:
        await socket.send_text(frame)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _fitting(reason: str) -> str:
    return reason.encode()[:_REASON_BYTES].decode(errors="ignore")
