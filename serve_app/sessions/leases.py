"""An ingress replica's ownership of the sessions that their clients may come back to.

The owner of a session is the replica that holds its socket. It writes each record to the session
actor, and renews its lease there once a second.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from serve_app.conversation.events import Opened
from serve_app.conversation.history import Record
from serve_app.errors import EngineError, SessionTaken, SessionUnknown, VoiceError
from serve_app.protocol.messages import SessionNotice
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.store import Entry, hashed

log = logging.getLogger(__name__)

_SECRET_BYTES = 32
_SAVED_S = 0.25
"""How long the message that a turn is committed waits for an actor that does not answer."""
_GOODBYE_S = 5.0
_RENEW_S = 1.0
_TOUCH_EVERY = 5
"""Only every fifth renewal goes to Redis."""


class Lease:
    """Ownership of one session. Writes the newest record; a record that is superseded while it
    waits to be written is skipped."""

    def __init__(self, actors: SessionActors, session: str, secret: str, entry: Entry) -> None:
        self.session = session
        self.entry = entry
        self.heard_samples = 0
        """Of the last socket's audio. The count starts again at each socket."""
        self._secret = secret
        self._actors = actors
        self._is_new = asyncio.Event()
        self._is_saved = asyncio.Event()
        self._is_saved.set()
        self._writer: asyncio.Task[None] | None = None
        self._fail: Callable[[VoiceError], None] | None = None

    @classmethod
    def begin(cls, actors: SessionActors, session: str, options: Opened) -> "Lease":
        """Of a new session."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        return cls(actors, session, secret, Entry(Record((), 0, 0), options, hashed(secret)))

    @classmethod
    async def attach(cls, actors: SessionActors, token: str) -> "Lease":
        """Of the session with this token. Raises SessionUnknown or SessionsUnavailable."""
        session, _, secret = token.partition(".")
        if not secret:
            raise SessionUnknown("open: 'resume_token' is not one that this server gave out")
        next_secret = secrets.token_urlsafe(_SECRET_BYTES)
        entry = await actors.attach(session, secret, hashed(next_secret))
        lease = cls(actors, session, next_secret, entry)
        lease.heard_samples = entry.record.heard_samples
        lease.keep(replace(entry.record, heard_samples=0))
        return lease

    def notice(self, window_s: float) -> SessionNotice:
        """What the client needs to come back."""
        return SessionNotice(f"{self.session}.{self._secret}", window_s, self.heard_samples)

    def start(self, fail: Callable[[VoiceError], None]) -> None:
        """Begins to write. `fail` is called when the session gets another owner."""
        self._fail = fail
        self._writer = asyncio.create_task(self._write())

    def keep(self, record: Record) -> None:
        """Has the record written, soon. Never waits."""
        self.entry = replace(self.entry, record=record)
        self.keep_again()

    def keep_again(self) -> None:
        """Has the same record written again: the actor has lost it."""
        if self.entry.record.history:
            self._is_saved.clear()
            self._is_new.set()

    def was_taken(self) -> None:
        """The session has another owner now."""
        if self._fail is not None:
            self._fail(SessionTaken("the conversation goes on at another socket"))

    async def until_saved(self) -> None:
        """Waits until the last record is safe, but only for a moment."""
        try:
            async with asyncio.timeout(_SAVED_S):
                await self._is_saved.wait()
        except TimeoutError:
            log.warning("session %s goes on before its record is saved", self.session)

    async def end(self, is_kept: bool) -> None:
        """The socket is gone. `is_kept`: the session waits for its client; otherwise it is over."""
        try:
            async with asyncio.timeout(_GOODBYE_S):
                if is_kept:
                    await self._is_saved.wait()
                await self._stop()
                if not is_kept:
                    await self._actors.forget(self.session, self.entry.epoch)
        except (EngineError, TimeoutError) as error:
            log.warning("session %s is left to expire: %s", self.session, error)
        finally:
            await self._stop()

    async def _stop(self) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            await self._is_new.wait()
            self._is_new.clear()
            entry = self.entry
            try:
                if not await self._actors.save(self.session, entry):
                    self.was_taken()
            except EngineError as error:
                log.warning("session %s is not saved: %s", self.session, error)
            if not self._is_new.is_set():
                self._is_saved.set()
            await self._actors.checkpoint(self.session, entry)


class Leases:
    """The leases of an ingress replica. Renews all of them together, once a second: so an owner
    soon learns that another one has its session, and an actor that lost its sessions gets them
    back."""

    def __init__(self, actors: SessionActors) -> None:
        self._actors = actors
        self._leases: dict[str, Lease] = {}

    def add(self, lease: Lease) -> None:
        """If this replica already owns the session, it was resumed here: the older lease ends."""
        if older := self._leases.get(lease.session):
            older.was_taken()
        self._leases[lease.session] = lease

    def remove(self, lease: Lease) -> None:
        """Safe to repeat, and for a lease that was replaced."""
        if self._leases.get(lease.session) is lease:
            del self._leases[lease.session]

    async def run(self) -> None:
        """Until cancelled."""
        for second in count():
            await asyncio.sleep(_RENEW_S)
            if self._leases:
                await self._renew()
                if second % _TOUCH_EVERY == 0:
                    await self._actors.touch(list(self._leases))

    async def _renew(self) -> None:
        asked = dict(self._leases)
        epochs = {session: lease.entry.epoch for session, lease in asked.items()}
        renewal = await self._actors.renew(epochs)
        for session in renewal.taken:
            asked[session].was_taken()
        for session in renewal.unknown:
            if self._leases.get(session) is asked[session]:
                asked[session].keep_again()
