"""Notes one call while it goes on. What it is handed in the event loop goes to the disk in a
thread: nothing here waits, and nothing that fails here ends a call."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.outline import outline
from serve_app.protocol.messages import AgentAudio, Interrupt, ServerMessage
from serve_app.records.notes import Note
from serve_app.records.transcript import NEEDED, TranscriptNotes, is_wanted

log = logging.getLogger(__name__)

_BATCH_S: Final = 1.0
"""So much sound is written at once; more than this is lost if the process is killed."""
_BATCH_NOTES: Final = 256
_SAVED_S: Final = 5.0
"""How long the end of a session waits for its last notes to be written."""


@dataclass(frozen=True, slots=True)
class Call:
    """Which call it is."""

    session: str
    socket: str
    protocol: str
    rate_hz: int
    """Of the agent's voice."""

    @property
    def name(self) -> str:
        """Of its files. A session has the name of the socket at which it began."""
        is_first = self.session == self.socket
        return self.session if is_first else f"{self.session}.{self.socket}"


Write = Callable[[Sequence[Note]], None]
"""Has the notes written, soon. Raises OSError if they cannot be: nothing more is noted then."""
Finish = Callable[[Sequence[Note], Callable[[], None]], None]
"""The same with the last notes, and calls when they are written."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the notes of one call go."""

    write: Write
    finish: Finish
    started_s: float
    """Unix time."""
    has_sound: bool
    max_s: float
    """Of sound."""

    @property
    def head(self) -> dict[str, Any]:
        """What is noted of it."""
        return {"started_s": self.started_s, "has_sound": self.has_sound, "max_s": self.max_s}


def nothing(call: Call) -> Place | None:
    """No record is kept."""
    return None


class Recorder:
    """Of one socket, where records are kept; else it does nothing."""

    def __init__(
        self, begin: Callable[[Call], Place | None] = nothing, protocol: str = "", rate_hz: int = 0
    ) -> None:
        """`begin` finds a place for a call. `rate_hz`: of the agent's voice, for a client that asks
        for no rate."""
        self._begin = begin
        self._protocol = protocol
        self._rate_hz = rate_hz
        self._place: Place | None = None
        self._call: Call | None = None
        self._began_s = 0.0
        self._wanted: frozenset[str] | None = None
        """The events that the client asked for; None: all that are sent are for it."""
        self._transcript = TranscriptNotes()
        self._notes: list[Note] = []
        self._waiting_s = 0.0
        self._sound_s = [0.0, 0.0]
        """What was kept of the user's and of the agent's."""
        self._is_complete = True

    def begin(self, session: str, socket: str, opened: ev.Opened, now_s: float) -> ev.Opened:
        """The conversation's first event, with what is needed here."""
        rate_hz = opened.sound.sample_rate_hz or self._rate_hz
        call = Call(session, socket, self._protocol, rate_hz)
        self._place = self._begin(call)
        if self._place is None:
            return opened
        self._call, self._began_s, self._wanted = call, now_s, opened.events
        head = {name: getattr(call, name) for name in ("session", "socket", "protocol", "rate_hz")}
        self._note(Note({"call": {**head, **self._place.head}}))
        self._flush()
        return replace(opened, events=opened.events | NEEDED)

    @property
    def is_on(self) -> bool:
        """Whether a record is kept."""
        return self._place is not None

    def is_for_client(self, message: ServerMessage) -> bool:
        """Whether the client asked for it, or it is for the record alone."""
        return self._wanted is None or is_wanted(message, self._wanted)

    def take(self, now_s: float, event: ev.Event, effects: Sequence[ef.Effect]) -> None:
        """What has happened in the conversation."""
        if self._place is None:
            return
        try:
            self._take(now_s - self._began_s, event, effects, self._place)
        except Exception as error:
            self._give_up(error)

    def tool(
        self, began_s: float, name: str, arguments: str, result: str, duration_ms: float
    ) -> None:
        """The agent has used one of the server's tools, from this time on."""
        at_s = began_s - self._began_s
        for line in self._transcript.tool(at_s, name, arguments, result, duration_ms):
            self._note(Note(line))

    async def end(self, now_s: float, code: int, reason: str) -> None:
        """The socket is closed. Returns when that is written, or it takes too long."""
        place, self._place = self._place, None
        if place is None:
            return
        end = {"at_s": round(now_s - self._began_s, 3), "end": {"code": code, "reason": reason}}
        self._note(Note({**end, "is_complete": self._is_complete}))
        loop, is_written = asyncio.get_running_loop(), asyncio.Event()

        def then() -> None:
            loop.call_soon_threadsafe(is_written.set)

        try:
            place.finish(self._notes, then)
            async with asyncio.timeout(_SAVED_S):
                await is_written.wait()
        except (OSError, TimeoutError) as error:
            log.warning("the record of session %s is late: %s", self._name, outline(error))

    def _take(
        self, at_s: float, event: ev.Event, effects: Sequence[ef.Effect], place: Place
    ) -> None:
        lines = self._transcript.take(at_s, event, effects)
        for line in lines:
            self._note(Note(line))
        if place.has_sound and at_s < place.max_s:
            self._hear(round(at_s, 4), event, effects, place.max_s)
        if lines or self._waiting_s >= _BATCH_S or len(self._notes) >= _BATCH_NOTES:
            self._flush()

    def _hear(
        self, at_s: float, event: ev.Event, effects: Sequence[ef.Effect], max_s: float
    ) -> None:
        match event:
            case ev.AudioReceived(samples) if len(samples) and self._sound_s[0] < max_s:
                self._note(Note({"at_s": at_s, "user": len(samples)}, samples))
            case ev.Backlog(messages):
                self._note(Note({"at_s": at_s, "backlog": messages}))
            case ev.Played(token, played_ms):
                self._note(Note({"at_s": at_s, "played": [token, played_ms]}))
        for effect in effects:
            match effect:
                case ef.Send(AgentAudio(token, pcm)) if self._sound_s[1] < max_s:
                    self._note(Note({"at_s": at_s, "agent": [token, len(pcm)]}, None, pcm))
                case ef.Send(Interrupt(token)):
                    self._note(Note({"at_s": at_s, "interrupt": token}))

    def _note(self, note: Note) -> None:
        self._notes.append(note)
        self._waiting_s += note.seconds
        if note.samples is not None:
            self._sound_s[0] += len(note.samples) / 16_000
        if note.pcm and self._call is not None:
            self._sound_s[1] += len(note.pcm) / 2 / self._call.rate_hz

    def _flush(self) -> None:
        notes, self._notes, self._waiting_s = self._notes, [], 0.0
        if self._place is None:
            return
        try:
            self._place.write(notes)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """The call goes on without. Its end is still noted, if that can be."""
        why = str(error) if isinstance(error, OSError) else outline(error)
        log.warning("the record of session %s ends here: %s", self._name, why)
        if self._place is not None:
            self._is_complete = False
            self._place = replace(self._place, write=_nowhere, has_sound=False)

    @property
    def _name(self) -> str:
        return self._call.session if self._call is not None else ""


def _nowhere(notes: Sequence[Note]) -> Any:
    """Drops them."""
