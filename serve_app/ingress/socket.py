"""The socket of one session. Messages from the client are handed over as they come; those to it
wait in a queue.

socket ──▶ read ──message──▶ driver
socket ◀── write ◀── outbox ◀── send, barrier, close
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect

from serve_app.conversation import events as ev
from serve_app.conversation.sound import Sound
from serve_app.errors import TooSlow, VoiceError
from serve_app.protocol import codec
from serve_app.protocol.messages import (
    Audio,
    ClientMessage,
    Close,
    Open,
    PlaybackState,
    Played,
    RequestInterrupt,
    ServerMessage,
    Text,
)

_MAX_MESSAGES = 1024
"""About 8 minutes of audio in pieces of half a second: more means that the client reads nothing."""
_REASON_BYTES = 123
"""The most that RFC 6455 allows."""


@dataclass(frozen=True, slots=True)
class _CloseFrame:
    code: int
    reason: str


_Barrier = Callable[[], Awaitable[None]]
"""In the outbox: what follows is sent when the barrier has returned."""


class ClientSocket:
    """Reads and writes one accepted socket, in two tasks: `read` and `write`."""

    def __init__(self, socket: WebSocket, fail: Callable[[VoiceError], None]) -> None:
        """`fail` is told when the client does not read what it is sent."""
        self._socket = socket
        self._fail = fail
        self._is_closing = False
        self._outbox: asyncio.Queue[bytes | _Barrier | _CloseFrame] = asyncio.Queue(_MAX_MESSAGES)

    # --- to the client: these never wait; the session fails if the client does not read ---

    def send(self, message: ServerMessage) -> None:
        self._put(codec.encode(message))

    def barrier(self, until: _Barrier) -> None:
        """What is sent after this waits until `until` has returned."""
        self._put(until)

    def close(self, code: int, reason: str) -> None:
        """Closes the socket after everything that was sent; what is sent later is dropped. If the
        client does not read, the oldest messages are dropped as well."""
        if self._is_closing:
            return
        self._is_closing = True
        while self._outbox.full():
            self._outbox.get_nowait()
        self._outbox.put_nowait(_CloseFrame(code, reason))

    def _put(self, item: bytes | _Barrier) -> None:
        if self._is_closing:
            return
        if self._outbox.full():
            self._fail(TooSlow("the client does not read what it is sent"))
        else:
            self._outbox.put_nowait(item)

    # --- the two tasks ---

    async def read(self, receive: Callable[[ClientMessage], Awaitable[None]]) -> None:
        """Until the client is gone. Raises ProtocolViolation, and what `receive` raises."""
        try:
            while True:
                await receive(codec.decode(await _frame(self._socket)))
                await asyncio.sleep(0)  # many frames that are here already do not keep others out
        except (WebSocketDisconnect, RuntimeError):
            return

    async def write(self) -> bool:
        """Until the socket is closed. Returns False if the client was gone before that."""
        try:
            while not isinstance(item := await self._outbox.get(), _CloseFrame):
                if isinstance(item, bytes):
                    await self._socket.send_bytes(item)
                else:
                    await item()
            await self._socket.close(item.code, _fitting(item.reason))
        except (WebSocketDisconnect, RuntimeError):
            return False
        return True


async def _frame(socket: WebSocket) -> bytes | str:
    """The next frame, binary or text. Raises WebSocketDisconnect."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    data = message.get("bytes")
    return data if data is not None else str(message["text"])


def _fitting(reason: str) -> str:
    return reason.encode()[:_REASON_BYTES].decode(errors="ignore")


def event_of(message: ClientMessage) -> ev.Event:
    """What a message means to the conversation. For `open`, see `opened`."""
    match message:
        case Open():
            return opened(message)
        case Audio(samples):
            return ev.AudioReceived(samples)
        case PlaybackState():
            return ev.PlaybackWaiting()
        case Text(text, id_):
            return ev.TextReceived(text, id_)
        case RequestInterrupt():
            return ev.InterruptRequested()
        case Played(token, played_ms):
            return ev.Played(token, played_ms)
        case Close():
            return ev.CloseRequested()


def opened(message: Open) -> ev.Opened:
    """A new conversation with the options of the message."""
    return ev.Opened(
        message.prompt,
        message.events,
        message.greeting,
        message.language,
        Sound(message.voice, message.sample_rate_hz),
        message.turn,
        message.resume or bool(message.resume_token),
        played=ev.Played(*astuple(message.played)) if message.played else None,
    )
