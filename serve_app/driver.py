"""Carries out what a conversation asks for: the socket, the calls, the timers.

reader ──events──▶ inbox ──▶ conversation ──effects──▶ outbox ──▶ writer
                     ▲                         │
                     └── calls and timers ◀────┘
"""

import asyncio
import logging
from collections.abc import Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from serve_app.calls import Calls
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.machine import Conversation
from serve_app.conversation.sound import Sound
from serve_app.errors import EngineError, ProtocolViolation, TooSlow, VoiceError
from serve_app.event_log import EventLog
from serve_app.protocol import codec
from serve_app.protocol.messages import (
    Audio,
    ClientMessage,
    Close,
    Open,
    PlaybackState,
    Played,
    RequestInterrupt,
    Text,
)
from serve_app.sessions import SessionPool
from serve_app.voice_activity import VoiceActivityBatcher, VoiceStream
from serve_app.work import Work

log = logging.getLogger(__name__)

_MAX_EVENTS = 4096
_MAX_MESSAGES = 1024
"""About 8 minutes of audio in pieces of half a second, or a client that reads nothing."""
_GOODBYE_S = 5.0
"""For the last messages and the last record, when the server ends the session."""
_REASON_BYTES = 123
"""RFC 6455 allows no more."""


class ClientGone(Exception):
    """The client closed the socket or lost it."""


class Driver:
    """One session on one socket."""

    def __init__(
        self,
        session: str,
        socket: WebSocket,
        conversation: Conversation,
        calls: Calls,
        batcher: VoiceActivityBatcher,
        pool: SessionPool,
        check: Callable[[Open], None],
        event_log: EventLog | None = None,
    ) -> None:
        self._session = session
        self._socket = socket
        self._conversation = conversation
        self._work = Work(session, calls, self._put_event)
        self._batcher = batcher
        self._pool = pool
        self._check = check
        self._event_log = event_log
        self._voice = VoiceStream(self._deliver_voice, self._fail)
        self._inbox: asyncio.Queue[ev.Event | VoiceError | ClientGone] = asyncio.Queue(_MAX_EVENTS)
        self._outbox: asyncio.Queue[bytes | ef.CloseSocket] = asyncio.Queue(_MAX_MESSAGES)
        self._timers: dict[ev.Timer, asyncio.TimerHandle] = {}
        self._record: ef.Record | None = None
        self._record_is_new = asyncio.Event()
        self.is_over = False
        """True from before the close frame is sent: a client that sees it finds its place free."""

    async def run(self, open_timeout_s: float) -> None:
        """From the accepted socket to its end. Leaves no task, call or timer behind."""
        self._batcher.add(self._voice)
        self._arm(ef.Arm(ev.Timer.OPEN, self._conversation.generation, open_timeout_s))
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._keep_record())]
        writer = asyncio.create_task(self._write())
        try:
            await self._converse()
            await asyncio.wait({writer}, timeout=_GOODBYE_S)
        except ClientGone:
            pass
        finally:
            self._batcher.remove(self._voice)
            for timer in self._timers.values():
                timer.cancel()
            await _end([*tasks, writer, *self._work.tasks])
            if self._event_log is not None:
                self._event_log.close()
            await self._forget()

    def leave(self) -> None:
        """Ends the session because its client is gone. Safe to repeat, and afterwards."""
        self._fail(ClientGone())

    async def _converse(self) -> None:
        while True:
            event = await self._inbox.get()
            if isinstance(event, ClientGone):
                raise event
            if isinstance(event, VoiceError):
                self._say_goodbye(event)
                return
            now_s = asyncio.get_running_loop().time()
            effects = self._conversation.handle(event, now_s)
            self._write_down(now_s, event, effects)
            for effect in effects:
                self._carry_out(effect)
                if isinstance(effect, ef.CloseSocket):
                    return

    def _write_down(self, now_s: float, event: ev.Event, effects: list[ef.Effect]) -> None:
        if self._event_log is None:
            return
        try:
            self._event_log.write(now_s, event, effects)
        except OSError as error:
            log.warning("session %s is logged no further: %s", self._session, error)
            self._event_log = None

    # --- effects ---

    def _carry_out(self, effect: ef.Effect) -> None:
        match effect:
            case ef.Send(message):
                self._put(codec.encode(message))
            case ef.Detect(frames):
                self._batcher.push(self._voice, frames)
            case ef.Transcribe() | ef.TranscribePart() | ef.JudgeTurn() | ef.Reply() | ef.Say():
                self._work.start(effect)
            case ef.CancelSegment() | ef.CancelReply() | ef.Cancel():
                self._work.cancel(effect)
            case ef.Arm():
                self._arm(effect)
            case ef.Disarm(timer):
                self._disarm(timer)
            case ef.Record():
                self._record = effect
                self._record_is_new.set()
            case ef.CloseSocket():
                self.is_over = True
                self._put(effect)

    def _put(self, item: bytes | ef.CloseSocket) -> None:
        try:
            self._outbox.put_nowait(item)
        except asyncio.QueueFull:
            self._fail(TooSlow("the client does not read what it is sent"))

    def _fail(self, error: VoiceError | ClientGone) -> None:
        """Ends the session, with an error's close code, whatever is still in the inbox."""
        while self._inbox.full():
            self._inbox.get_nowait()
        self._inbox.put_nowait(error)

    def _say_goodbye(self, error: VoiceError) -> None:
        self.is_over = True
        while self._outbox.full():
            self._outbox.get_nowait()
        self._outbox.put_nowait(ef.CloseSocket(error.close_code, str(error)))
        log.info("session %s closes with %s: %s", self._session, error.close_code, error)

    # --- events ---

    async def _put_event(self, event: ev.Event) -> None:
        await self._inbox.put(event)

    def _deliver_voice(self, probabilities: list[float]) -> None:
        for probability in probabilities:
            if self._inbox.full():
                self._fail(TooSlow("events of the session pile up"))
                return
            self._inbox.put_nowait(ev.VoiceActivity(probability))

    # --- timers ---

    def _arm(self, effect: ef.Arm) -> None:
        self._disarm(effect.timer)
        loop = asyncio.get_running_loop()
        event = ev.Expired(effect.timer, effect.generation)
        self._timers[effect.timer] = loop.call_later(effect.seconds, self._expire, event)

    def _disarm(self, timer: ev.Timer) -> None:
        if handle := self._timers.pop(timer, None):
            handle.cancel()

    def _expire(self, event: ev.Expired) -> None:
        self._timers.pop(event.timer, None)
        if not self._inbox.full():
            self._inbox.put_nowait(event)
        else:
            self._fail(TooSlow("events of the session pile up"))

    # --- socket ---

    async def _read(self) -> None:
        try:
            while True:
                frame = await _receive(self._socket)
                message = codec.decode(frame)
                if isinstance(message, Open):
                    self._check(message)
                await self._inbox.put(_event(message))
        except ProtocolViolation as error:
            self._fail(error)
        except (WebSocketDisconnect, RuntimeError):
            await self._inbox.put(ClientGone())

    async def _write(self) -> None:
        try:
            while isinstance(item := await self._outbox.get(), bytes):
                await self._socket.send_bytes(item)
            await self._socket.close(item.code, _fitting(item.reason))
        except (WebSocketDisconnect, RuntimeError):
            await self._inbox.put(ClientGone())

    # --- the record ---

    async def _keep_record(self) -> None:
        """Writes the newest record; one that is overtaken while waiting need not be written."""
        while True:
            await self._record_is_new.wait()
            self._record_is_new.clear()
            assert self._record is not None
            try:
                await self._pool.save(self._session, self._record)
            except EngineError as error:
                log.warning("session %s is not recorded: %s", self._session, error)

    async def _forget(self) -> None:
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._pool.forget(self._session)
        except (EngineError, TimeoutError) as error:
            log.warning("session %s is not forgotten: %s", self._session, error)


async def _receive(socket: WebSocket) -> bytes | str:
    """The next frame, binary or text. Raises WebSocketDisconnect."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    data = message.get("bytes")
    return data if data is not None else str(message["text"])


def _event(message: ClientMessage) -> ev.Event:
    match message:
        case Open():
            return ev.Opened(
                message.prompt,
                message.events,
                message.greeting,
                message.language,
                Sound(message.voice, message.sample_rate_hz),
                message.turn,
            )
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


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _fitting(reason: str) -> str:
    return reason.encode()[:_REASON_BYTES].decode(errors="ignore")
