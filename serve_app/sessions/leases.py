"""One session that its client may come back to, as its owner sees it: the driver of the socket."""

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
"""How long a client is made to wait for the message that a turn is committed, when the actor that
records it does not answer."""
_GOODBYE_S = 5.0
_RENEW_S = 1.0
_TOUCH_EVERY = 5
"""Renewals to one that Redis is told of."""


class Lease:
    """Writes the newest record; one that is overtaken while waiting need not be written."""

    def __init__(self, actors: SessionActors, session: str, secret: str, entry: Entry) -> None:
        self.session = session
        self.entry = entry
        self.heard_samples = 0
        """Of the last socket's audio; a new socket's is counted anew."""
        self._secret = secret
        self._actors = actors
        self._is_new = asyncio.Event()
        self._is_saved = asyncio.Event()
        self._is_saved.set()
        self._writer: asyncio.Task[None] | None = None
        self._fail: Callable[[VoiceError], None] | None = None

    @classmethod
    def begin(cls, actors: SessionActors, session: str, options: Opened) -> "Lease":
        """A new session."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        return cls(actors, session, secret, Entry(Record((), 0, 0), options, hashed(secret)))

    @classmethod
    async def attach(cls, actors: SessionActors, token: str) -> "Lease":
        """The session of a token. Raises SessionUnknown or SessionsUnavailable."""
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
        """`fail` is told when the session has another owner."""
        self._fail = fail
        self._writer = asyncio.create_task(self._write())

    def keep(self, record: Record) -> None:
        """To be written now. Never waits."""
        self.entry = replace(self.entry, record=record)
        self.keep_again()

    def keep_again(self) -> None:
        """The actor has lost it."""
        if self.entry.record.history:
            self._is_saved.clear()
            self._is_new.set()

    def was_taken(self) -> None:
        if self._fail is not None:
            self._fail(SessionTaken("the conversation goes on at another socket"))

    async def until_saved(self) -> None:
        """Waits for the last record to be safe, a moment at most."""
        try:
            async with asyncio.timeout(_SAVED_S):
                await self._is_saved.wait()
        except TimeoutError:
            log.warning("session %s goes on before it is recorded", self.session)

    async def end(self, is_kept: bool) -> None:
        """The socket is gone: the session is kept for the window, or over."""
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
                log.warning("session %s is not recorded: %s", self.session, error)
            if not self._is_new.is_set():
                self._is_saved.set()
            await self._actors.checkpoint(self.session, entry)


class Leases:
    """Renews those of all sessions of an ingress replica together, once a second: so an owner
    learns soon that it was superseded, and an actor that was lost gets its sessions back."""

    def __init__(self, actors: SessionActors) -> None:
        self._actors = actors
        self._leases: dict[str, Lease] = {}

    def add(self, lease: Lease) -> None:
        """A session that is here already was resumed here: its older owner is done."""
        if older := self._leases.get(lease.session):
            older.was_taken()
        self._leases[lease.session] = lease

    def remove(self, lease: Lease) -> None:
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
        renewal = await self._actors.renew(
            {name: lease.entry.epoch for name, lease in asked.items()}
        )
        for name in renewal.taken:
            asked[name].was_taken()
        for name in renewal.unknown:
            if self._leases.get(name) is asked[name]:
                asked[name].keep_again()
