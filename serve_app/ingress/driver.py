"""Carries out what a conversation asks for: the socket, the calls, the timers.

socket ──events──▶ take ──▶ conversation ──effects──▶ socket
                    ▲                         │
                    └── calls and timers ◀────┘

Events are handled where they come about, one after the other: all of this runs in one event loop,
and neither handling an event nor carrying out an effect waits for anything. So events need no
queue.
"""

import asyncio
import logging
from collections.abc import Callable

from starlette.websockets import WebSocket

from serve_app.agent.parts import ToolUsed
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.machine import Conversation
from serve_app.conversation.settings import TurnSettings
from serve_app.errors import ProtocolViolation, VoiceError
from serve_app.ingress.access import Guest, anybody
from serve_app.ingress.admission import Admission, FindPlace, anywhere
from serve_app.ingress.client_events import event_of
from serve_app.ingress.event_log import EventLog, SessionLog
from serve_app.ingress.services import Services
from serve_app.ingress.socket import ClientSocket
from serve_app.ingress.timers import Timers
from serve_app.ingress.tokens import Tokens
from serve_app.ingress.voice_activity import VoiceStream
from serve_app.ingress.work import Work
from serve_app.outline import outline, shows_texts
from serve_app.protocol.close_codes import CloseCode, may_come_back
from serve_app.protocol.messages import Audio, ClientMessage, Open
from serve_app.protocol.microphone import Microphone
from serve_app.protocol.wire import Wire
from serve_app.records.recorder import Recorder
from serve_app.sessions.leases import Lease

log = logging.getLogger(__name__)

_GOODBYE_S = 5.0
"""For the last messages when the server ends the session."""


class Driver:
    """One session on one socket."""

    def __init__(
        self,
        session: str,
        socket: WebSocket,
        services: Services,
        settings: TurnSettings,
        new_log: Callable[[str], EventLog | None] = lambda name: None,
        guest: Guest | None = None,
        wire: Wire | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """`new_log` makes the file with this name; None where nothing is logged. `guest`: who is at
        the socket; None where nobody is asked. `wire`: its protocol; None is Echo's. `recorder`:
        keeps a record of the call; None where nothing is kept."""
        self._session = session
        self._guest = guest or anybody()
        self._services = services
        self._tokens = Tokens()
        self._conversation = Conversation(settings, self._tokens)
        self._log = SessionLog(new_log)
        self._recorder = recorder or Recorder()
        limits = services.limits
        self._socket = ClientSocket(socket, self.fail, self._take_backlog, limits, wire)
        self._timers = Timers(self.take)
        self._work = Work(session, services.calls, self.take, self._fail_unexpectedly)
        self._microphone = Microphone()
        self._voice = VoiceStream(self._take_voice, self.fail)
        self._admission = Admission(session, services, self._guest, self._socket.send)
        self._lease: Lease | None = None
        self._has_ended = asyncio.Event()
        self._closed_with: int = CloseCode.LOST
        self._closed_because = ""
        self._ended_s = 0.0
        self._is_alone = False
        """The client is gone, and nothing has to be finished for it."""

    async def run(self, open_timeout_s: float, find_place: FindPlace = anywhere) -> None:
        """From the accepted socket to its end. No task, call or timer outlives it. `find_place` is
        called once `open` has come."""
        self._admission.find_place = find_place
        self._timers.arm(ef.Arm(ev.Timer.OPEN, self._conversation.generation, open_timeout_s))
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        try:
            await self._has_ended.wait()
            if not self._is_alone:
                await asyncio.wait({writer}, timeout=_GOODBYE_S)
        finally:
            self._services.batcher.remove(self._voice)
            self._timers.disarm_all()
            self._guest.leave()
            await _end([reader, writer, *self._work.tasks])
            self._log.close()
            await asyncio.gather(self._end_lease(), self._end_record())

    async def _end_lease(self) -> None:
        if self._lease is not None:
            is_kept = may_come_back(self._closed_with)
            await self._services.leases.end(self._lease, is_kept)

    async def _end_record(self) -> None:
        await self._recorder.end(self._ended_s, self._closed_with, self._closed_because)

    @property
    def is_over(self) -> bool:
        """True before the close frame is sent: a client that sees it finds its place free."""
        return self._has_ended.is_set()

    @property
    def has_opened(self) -> bool:
        """Its `open` was admitted: it is a session, or was one."""
        return self._admission.is_granted

    @property
    def has_place(self) -> bool:
        """From its `open` to its end."""
        return self.has_opened and not self.is_over

    # --- what happens: nothing here waits, and all of it may happen after the end, too ---

    def take(self, event: ev.Event) -> None:
        """The conversation's next event: handles it and carries out what follows. How much audio
        waits to be written is an event before it."""
        self._socket.tell_backlog()
        self._handle(event)

    def _take_backlog(self, messages: int) -> None:
        self._handle(ev.Backlog(messages))

    def _handle(self, event: ev.Event) -> None:
        if self.is_over:
            return
        now_s = asyncio.get_running_loop().time()
        try:
            effects = self._conversation.handle(event, now_s)
            self._log.write(now_s, event, effects)
            self._recorder.take(now_s, event, effects)
            for effect in effects:
                self._carry_out(effect)
        except Exception as error:
            # The caller may be a loop that serves all sessions, which must not end with this one.
            self._fail_unexpectedly(error)

    def _fail_unexpectedly(self, error: BaseException) -> None:
        """Without this, a session whose reader or writer has ended would be deaf or mute and keep
        its place."""
        log.error("session %s failed:\n%s", self._session, outline(error))
        self.fail(VoiceError("the server failed: connect again"))

    def fail(self, error: VoiceError) -> None:
        """Ends the session with the error's close code."""
        if not self.is_over:
            log.info("session %s closes with %s%s", self._session, error.close_code, _why(error))
            self._close(error.close_code, str(error), "" if _is_quoting(error) else str(error))

    def leave(self) -> None:
        """The client is gone. If it may come back, its last turn is still recorded."""
        if self._lease is not None:
            self.take(ev.Disconnected())
        else:
            self._is_alone = True
            self._close(CloseCode.GONE, "the client is gone")

    def check_guest(self) -> None:
        """Ends the session of who may not be here any longer."""
        try:
            self._guest.check()
        except VoiceError as error:
            self.fail(error)

    def drain(self, time_left_s: float) -> None:
        """The server is about to stop. To be called again when little time is left."""
        self.take(ev.Draining(time_left_s))

    # --- the two tasks of the socket ---

    async def _read(self) -> None:
        try:
            await self._guest.identify()
            self._socket.greet(self._guest.must_be_known)
            await self._socket.read(self._receive)
            self.leave()
        except VoiceError as error:
            self.fail(error)
        except Exception as error:
            self._fail_unexpectedly(error)

    async def _write(self) -> None:
        try:
            if not await self._socket.write():
                self.leave()
        except Exception as error:
            self._fail_unexpectedly(error)

    async def _receive(self, message: ClientMessage) -> None:
        """Raises VoiceError."""
        if not isinstance(message, Open):
            self._guest.must_be_known()
        if self._lease is not None:
            self._lease.heard_from_client()
        if isinstance(message, Audio) and self.has_opened:
            self._check(message)
        self.take(await self._open(message) if isinstance(message, Open) else event_of(message))

    def _check(self, audio: Audio) -> None:
        if advice := self._microphone.hear(audio.raw, asyncio.get_running_loop().time()):
            log.warning("session %s: %s", self._session, advice)
            self.take(ev.AudioIsWrong(advice))

    def _take_voice(self, probabilities: list[float]) -> None:
        for probability in probabilities:
            self.take(ev.VoiceActivity(probability))

    # --- effects ---

    def _carry_out(self, effect: ef.Effect) -> None:
        match effect:
            case ef.Send(message):
                if self._recorder.is_for_client(message):
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
                self._close(code, reason)

    def _keep(self, lease: Lease, record: ef.Record) -> None:
        lease.keep(record)
        # The client is told of a turn once its record is safe. Audio does not wait for that: the
        # client knows what it has played.
        if record.reply is None:
            self._socket.barrier(lease.until_saved)

    def _close(self, code: int, reason: str, recorded: str | None = None) -> None:
        """The first reason counts. `recorded`: what a record of the call says, if that is another
        one."""
        if not self.is_over:
            self._has_ended.set()
            self._closed_with = code
            self._closed_because = reason if recorded is None else recorded
            self._ended_s = asyncio.get_running_loop().time()
            self._guest.leave()  # as `is_over`: before the client sees the close frame
            self._socket.close(code, reason)

    # --- the beginning ---

    async def _open(self, message: Open) -> ev.Opened:
        """Raises VoiceError. A second `open` is ignored by the conversation."""
        event = await self._admission.understood(message)
        if not self._admission.is_granted:
            event, lease = await self._admission.grant(message, event)
            self._services.batcher.add(self._voice)
            if lease is not None:
                self._keep_with(lease)
            session = lease.session if lease else self._session
            self._log.begin(session, self._session)
            now_s = asyncio.get_running_loop().time()
            event = self._recorder.begin(session, self._session, event, now_s)
            if self._recorder.is_on:
                self._work.tool_used = self._note_tool
        return event

    def _note_tool(self, used: ToolUsed) -> None:
        ended_s = asyncio.get_running_loop().time() - used.ago_ms / 1000
        began_s = ended_s - used.duration_ms / 1000
        self._recorder.tool(began_s, used.name, used.arguments, used.result, used.duration_ms)

    def _keep_with(self, lease: Lease) -> None:
        log.info("session %s at socket %s", lease.session, self._session)
        self._lease = lease
        self._tokens.epoch = lease.entry.epoch
        lease.start(self.fail)
        self._services.leases.add(lease)
        # Not an effect: the secret must not get into an event log.
        self._socket.send(lease.notice(self._services.window_s))
        self._socket.barrier(lease.was_told)


def _why(error: VoiceError) -> str:
    """For the log. What a client did wrong is told to the client only: it quotes the message, and
    that may be a key in the wrong place."""
    is_shown = shows_texts() or not _is_quoting(error)
    return f": {error}" if is_shown else " (the client was told why)"


def _is_quoting(error: VoiceError) -> bool:
    return isinstance(error, ProtocolViolation)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
