"""The WebSocket of uvicorn, the HTTP server that Serve runs in an ingress replica, with bounds.

uvicorn answers every ping, keeps every fragment and waits without end for a client to read what is
left for it. Here frames have a budget, which is looked at before a frame is worked on; one pong
answers all pings that came together, and waits while the client does not read; and a connection
that is to end does so within a bounded time.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, ClassVar, cast

from uvicorn import config as uvicorn_config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from serve_app.ingress.frame_budget import FrameBudget
from serve_app.protocol.close_codes import CloseCode
from serve_app.settings.socket_limits import SocketLimits

log = logging.getLogger(__name__)

_DISCARDED_BYTES = 256 << 10
"""Of a client that goes on sending when its connection is to end. More is not read: then it may not
see the close frame."""


def install(limits: SocketLimits, message_bytes: int) -> None:
    """Has every uvicorn server that starts in this process from now on use these sockets. Serve has
    no setting for it: it leaves the choice to uvicorn ("auto")."""
    GuardedSocket.limits = limits
    GuardedSocket.message_bytes = message_bytes
    uvicorn_config.WS_PROTOCOLS["auto"] = f"{__name__}:{GuardedSocket.__name__}"


class GuardedSocket(WebSocketsSansIOProtocol):
    """One socket, from the handshake to its end."""

    limits: ClassVar[SocketLimits] = SocketLimits()
    message_bytes: ClassVar[int] = 1 << 20
    """The most of one message."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._frames = _Frames(
            FrameBudget(self.limits),
            extensions=self.conn.available_extensions,
            max_size=self.message_bytes,
            logger=self.conn.logger,
        )
        self.conn = self._frames
        self._is_ending = False
        self._discarded = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        within = _ClosesWithin(cast(asyncio.Transport, transport), self.loop, self.limits.close_s)
        super().connection_made(cast(asyncio.Transport, within))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        cast(_ClosesWithin, self.transport).is_lost()

    # --- from the client ---

    def data_received(self, data: bytes) -> None:
        if self._is_ending:
            self._discard(len(data))
            return
        super().data_received(data)
        self._answer_ping()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._answer_ping()

    def _answer_ping(self) -> None:
        """A client that does not read gets no pong until it does: then the newest one."""
        if self._frames.ping is None or not self.writable.is_set() or self.close_sent:
            return
        if self._frames.state is OPEN:
            self._frames.send_pong(self._frames.ping)
            self.transport.write(b"".join(self._frames.data_to_send()))
        self._frames.ping = None

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > _DISCARDED_BYTES:
            self.transport.pause_reading()

    # --- the end ---

    def handle_parser_exception(self) -> None:
        """The client broke the rules of framing, or its budget is spent."""
        self._end()

    def keepalive_timeout(self) -> None:
        """uvicorn would say 1011, which is for failures of the server."""
        self.pong_timer = None
        if not self.close_sent and not self.transport.is_closing():
            self.conn.fail(CloseCode.TOO_SLOW, "no ping was answered in time")
            self._end()

    async def send(self, message: Any) -> None:
        """uvicorn has the close frame wait until the client has read what was sent before, which
        may be never."""
        if message["type"] == "websocket.close" and self.conn.state is OPEN:
            self._close(message.get("code", 1000), message.get("reason") or "")
        else:
            await super().send(message)

    def _close(self, code: int, reason: str) -> None:
        """Then uvicorn waits for the client's close frame."""
        if self.disconnected or self.transport.is_closing():
            raise ClientDisconnected
        self._tell_app(code, reason)
        try:
            self.conn.send_close(code, reason)
        except InvalidState:
            raise ClientDisconnected from None
        self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._read_on()
        self.close_timer = self.loop.call_later(self.limits.close_s, self.transport.close)

    def _end(self) -> None:
        """Sends the close frame and nothing more. The client has a while to take it: if the
        connection was closed at once while data of the client is unread, the kernel would send a
        reset, and the client might never see why."""
        close = self.conn.close_sent
        if close is None:  # a frame before the handshake was answered
            self.transport.close()
            return
        log.info("a socket closes with %s: %s", close.code, close.reason)
        self.stop_keepalive()
        self._tell_app(close.code, close.reason)
        self._is_ending = self.close_sent = True
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._read_on()
        self.close_timer = self.loop.call_later(self.limits.close_s, self.transport.abort)

    def _read_on(self) -> None:
        """Or the client's close frame would not be seen."""
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _tell_app(self, code: int, reason: str) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})


class _Frames(ServerProtocol):
    """Reads frames as long as the budget lasts."""

    def __init__(
        self,
        budget: FrameBudget,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.ping: bytes | None = None
        """The newest one that is not answered. It stands for those before (RFC 6455 5.5.3)."""
        self._budget = budget
        self._clock = clock

    def recv_frame(self, frame: Frame) -> None:
        """Called by the parser for each frame. To fail here ends the parser, as a close frame of
        the client does."""
        if reason := self._excess(frame):
            self.fail(CloseCode.TOO_FAST, reason)
            self.parser_exc = ProtocolError(reason)
        elif frame.opcode is Opcode.PING:
            self.ping = bytes(frame.data)
        else:
            super().recv_frame(frame)

    def _excess(self, frame: Frame) -> str:
        if frame.opcode in (Opcode.PING, Opcode.PONG):
            return self._budget.control_frame(self._clock())
        if frame.opcode is Opcode.CLOSE:
            return ""
        return self._budget.data_frame(len(frame.data), frame.fin, self._clock())


class _ClosesWithin:
    """A transport that is gone at most `seconds` after it was closed, whether or not the client has
    read what is left for it. In all other respects it is the transport that it is given."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, seconds: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = seconds
        self._cut: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        self._transport.close()
        if self._cut is None:
            self._cut = self._loop.call_later(self._seconds, self._transport.abort)

    def is_lost(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
