"""The socket of one session. Messages from the client become events; those to it wait in a queue.

socket ──▶ read ──event──▶ inbox
socket ◀── write ◀── outbox ◀── send, barrier, close
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect

from serve_app.conversation import events as ev
from serve_app.conversation.sound import Sound
from serve_app.errors import TooSlow, VoiceError
from serve_app.ingress.inbox import ClientGone, Inbox
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

    def __init__(self, socket: WebSocket, inbox: Inbox) -> None:
        self._socket = socket
        self._inbox = inbox
        self._outbox: asyncio.Queue[bytes | _Barrier | _CloseFrame] = asyncio.Queue(_MAX_MESSAGES)

    # --- to the client: these never wait; the session fails if the client does not read ---

    def send(self, message: ServerMessage) -> None:
        self._put(codec.encode(message))

    def barrier(self, until: _Barrier) -> None:
        """What is sent after this waits until `until` has returned."""
        self._put(until)

    def close(self, code: int, reason: str) -> None:
        """Closes the socket after everything that was sent."""
        self._put(_CloseFrame(code, reason))

    def close_anyway(self, code: int, reason: str) -> None:
        """As `close`, but the oldest messages are dropped if the client does not read them."""
        while self._outbox.full():
            self._outbox.get_nowait()
        self.close(code, reason)

    def _put(self, item: bytes | _Barrier | _CloseFrame) -> None:
        try:
            self._outbox.put_nowait(item)
        except asyncio.QueueFull:
            self._inbox.fail(TooSlow("the client does not read what it is sent"))

    # --- the two tasks ---

    async def read(self, event_of: Callable[[ClientMessage], Awaitable[ev.Event]]) -> None:
        """Until the client is gone or breaks the protocol; that is the last thing it puts into the
        inbox. `event_of` may raise VoiceError."""
        try:
            while True:
                message = codec.decode(await _frame(self._socket))
                await self._inbox.put(await event_of(message))
        except VoiceError as error:
            self._inbox.fail(error)
        except (WebSocketDisconnect, RuntimeError):
            await self._inbox.put(ClientGone())

    async def write(self) -> None:
        """Until the socket is closed, by `close` or by the client."""
        try:
            while not isinstance(item := await self._outbox.get(), _CloseFrame):
                if isinstance(item, bytes):
                    await self._socket.send_bytes(item)
                else:
                    await item()
            await self._socket.close(item.code, _fitting(item.reason))
        except (WebSocketDisconnect, RuntimeError):
            await self._inbox.put(ClientGone())


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
        case Text(text):
            return ev.TextReceived(text)
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
