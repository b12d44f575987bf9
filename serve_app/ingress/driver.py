"""Carries out what a conversation asks for: the socket, the calls, the timers.

socket ──events──▶ inbox ──▶ conversation ──effects──▶ socket
                     ▲                         │
                     └── calls and timers ◀────┘
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from starlette.websockets import WebSocket

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.machine import Conversation
from serve_app.conversation.settings import TurnSettings
from serve_app.errors import VoiceError
from serve_app.ingress.calls import Calls
from serve_app.ingress.event_log import EventLog
from serve_app.ingress.inbox import ClientGone, Inbox
from serve_app.ingress.socket import ClientSocket, event_of, opened
from serve_app.ingress.timers import Timers
from serve_app.ingress.tokens import Tokens
from serve_app.ingress.voice_activity import VoiceActivityBatcher, VoiceStream
from serve_app.ingress.work import Work
from serve_app.protocol.close_codes import CloseCode, may_come_back
from serve_app.protocol.messages import ClientMessage, Open
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.leases import Lease, Leases

log = logging.getLogger(__name__)

_GOODBYE_S = 5.0
"""For the last messages when the server ends the session."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the sessions of one ingress replica share."""

    calls: Calls
    batcher: VoiceActivityBatcher
    actors: SessionActors
    leases: Leases
    window_s: float
    """How long after the loss of its socket a client may come back."""
    check: Callable[[Open], None]
    """Raises VoiceError if the message asks for something that this server cannot do."""


class Driver:
    """One session on one socket."""

    def __init__(
        self,
        session: str,
        socket: WebSocket,
        services: Services,
        settings: TurnSettings,
        event_log: EventLog | None = None,
    ) -> None:
        self._session = session
        self._services = services
        self._tokens = Tokens()
        self._conversation = Conversation(settings, self._tokens)
        self._event_log = event_log
        self._inbox = Inbox()
        self._socket = ClientSocket(socket, self._inbox)
        self._timers = Timers(self._inbox)
        self._work = Work(session, services.calls, self._inbox.put)
        self._voice = VoiceStream(self._deliver_voice, self._inbox.fail)
        self._lease: Lease | None = None
        self._has_opened = False
        self._closed_with: int = CloseCode.LOST
        self.is_over = False
        """Set before the close frame is sent: a client that sees it finds its place free."""

    async def run(self, open_timeout_s: float) -> None:
        """From the accepted socket to its end. No task, call or timer outlives it."""
        self._services.batcher.add(self._voice)
        self._timers.arm(ef.Arm(ev.Timer.OPEN, self._conversation.generation, open_timeout_s))
        reader = asyncio.create_task(self._socket.read(self._event_of))
        writer = asyncio.create_task(self._socket.write())
        try:
            await self._converse()
            await asyncio.wait({writer}, timeout=_GOODBYE_S)
        except ClientGone:
            pass
        finally:
            self._services.batcher.remove(self._voice)
            self._timers.disarm_all()
            await _end([reader, writer, *self._work.tasks])
            if self._event_log is not None:
                self._event_log.close()
            if self._lease is not None:
                self._services.leases.remove(self._lease)
                await self._lease.end(is_kept=may_come_back(self._closed_with))

    def leave(self) -> None:
        """Ends the session because its client is gone. Safe to repeat, and after the end."""
        self._inbox.fail(ClientGone())

    def drain(self, time_left_s: float) -> None:
        """The server is going to stop. To be called again when little time is left."""
        self._inbox.put_if_room(ev.Draining(time_left_s))

    async def _converse(self) -> None:
        while True:
            event = await self._inbox.get()
            if isinstance(event, ClientGone):
                if self._lease is None:
                    raise event
                event = ev.Disconnected()
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
            log.warning("the event log of session %s ends here: %s", self._session, error)
            self._event_log = None

    # --- effects ---

    def _carry_out(self, effect: ef.Effect) -> None:
        match effect:
            case ef.Send(message):
                self._socket.send(message)
            case ef.Detect(frames):
                self._services.batcher.push(self._voice, frames)
            case ef.Transcribe() | ef.TranscribePart() | ef.JudgeTurn() | ef.Reply() | ef.Say():
                self._work.start(effect)
            case ef.CancelSegment() | ef.CancelReply() | ef.Cancel():
                self._work.cancel(effect)
            case ef.Arm():
                self._timers.arm(effect)
            case ef.Disarm(timer):
                self._timers.disarm(timer)
            case ef.Record():
                if self._lease is not None:
                    self._keep(self._lease, effect)
            case ef.CloseSocket(code, reason):
                self._closes(code)
                self._socket.close(code, reason)

    def _keep(self, lease: Lease, record: ef.Record) -> None:
        lease.keep(record)
        # The client is told of a turn once its record is safe. Audio does not wait for that: the
        # client knows what it has played.
        if record.reply is None:
            self._socket.barrier(lease.until_saved)

    def _say_goodbye(self, error: VoiceError) -> None:
        log.info("session %s closes with %s: %s", self._session, error.close_code, error)
        self._closes(error.close_code)
        self._socket.close_anyway(error.close_code, str(error))

    def _closes(self, code: int) -> None:
        self.is_over = True
        self._closed_with = code

    # --- events ---

    def _deliver_voice(self, probabilities: list[float]) -> None:
        for probability in probabilities:
            if not self._inbox.put_or_fail(ev.VoiceActivity(probability)):
                return

    async def _event_of(self, message: ClientMessage) -> ev.Event:
        """Raises VoiceError."""
        return await self._open(message) if isinstance(message, Open) else event_of(message)

    async def _open(self, message: Open) -> ev.Opened:
        """What `open` means: a new conversation or one that is resumed. Raises VoiceError."""
        self._services.check(message)
        event = opened(message)
        if not self._has_opened:
            self._has_opened = True
            if message.resume_token:
                lease = await Lease.attach(self._services.actors, message.resume_token)
                entry = lease.entry
                event = replace(entry.options, record=entry.record, played=event.played)
                self._keep_with(lease)
            elif message.resume:
                options = replace(event, prompt="", greeting=None)
                self._keep_with(Lease.begin(self._services.actors, self._session, options))
        return event

    def _keep_with(self, lease: Lease) -> None:
        log.info("session %s at socket %s", lease.session, self._session)
        self._lease = lease
        self._tokens.epoch = lease.entry.epoch
        lease.start(self._inbox.fail)
        self._services.leases.add(lease)
        # Not an effect: the secret must not get into an event log.
        self._socket.send(lease.notice(self._services.window_s))


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
