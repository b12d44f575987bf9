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
from serve_app.errors import (
    EngineError,
    SessionsUnavailable,
    SessionTaken,
    SessionUnknown,
    VoiceError,
)
from serve_app.protocol.messages import SessionNotice
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.store import Entry, hashed, of_tenant
from serve_app.sessions.writer import Writer

log = logging.getLogger(__name__)

_SECRET_BYTES = 32
_SAVED_S = 0.25
"""How long the message that a turn is committed waits for an actor that does not answer."""
_GOODBYE_S = 5.0
_OUTAGE_S = 30.0
"""So long a session whose client may come back is tried to be saved after its socket is gone."""
_BEING_SAVED_S = 5.0
"""How long a client that comes back waits for that."""
_REDIS_GOODBYE_S = 1.0
_RENEW_S = 1.0
_TOUCH_EVERY = 5
"""Only every fifth renewal goes to Redis."""


def session_of(token: str) -> str:
    """The session for which a resume token is; whether it opens that one is not known yet."""
    return _parts(token)[0]


def _parts(token: str) -> tuple[str, str]:
    """The session and the secret."""
    session, _, secret = token.partition(".")
    return session, secret


class Lease:
    """Ownership of one session. Has its newest record written to the actor and to Redis, each until
    that succeeds."""

    def __init__(
        self,
        actors: SessionActors,
        session: str,
        secret: str,
        entry: Entry,
        base: Entry | None,
        tenant: str = "",
    ) -> None:
        """`base`: what the actor holds of the session. `tenant`: whose it is."""
        self.session = session
        self.tenant = tenant
        self.entry = entry
        self.heard_samples = entry.record.heard_samples
        """Of the last socket's audio. The count starts again at each socket."""
        self.text_id = entry.record.text_id
        """The last typed text that was taken before."""
        self._secret = secret
        self._actors = actors
        self._base = base
        self._is_told = False
        self._saving = Writer(self._save)
        self._checkpointing = Writer(self._checkpoint)
        self._writers: list[asyncio.Task[None]] = []
        self._fail: Callable[[VoiceError], None] | None = None

    @classmethod
    def begin(
        cls, actors: SessionActors, session: str, options: Opened, tenant: str = ""
    ) -> "Lease":
        """Of a new session."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        entry = Entry(Record((), 0, 0), options, hashed(of_tenant(tenant, secret)))
        return cls(actors, session, secret, entry, None, tenant)

    @classmethod
    async def attach(cls, actors: SessionActors, token: str, tenant: str = "") -> "Lease":
        """Of the tenant's session with this token. Raises SessionUnknown or SessionsUnavailable."""
        session, secret = _parts(token)
        if not secret:
            raise SessionUnknown("open: 'resume_token' is not one that this server gave out")
        next_secret = secrets.token_urlsafe(_SECRET_BYTES)
        next_hash = hashed(of_tenant(tenant, next_secret))
        entry = await actors.attach(session, of_tenant(tenant, secret), next_hash)
        lease = cls(actors, session, next_secret, entry, entry, tenant)
        lease.keep(replace(entry.record, heard_samples=0))
        return lease

    def notice(self, window_s: float) -> SessionNotice:
        """What the client needs to come back."""
        token = f"{self.session}.{self._secret}"
        return SessionNotice(token, window_s, self.heard_samples, self.text_id)

    async def was_told(self) -> None:
        """The notice was written to the socket. Whether it arrives is not known yet."""
        self._is_told = True

    def heard_from_client(self) -> None:
        """A message from the client that comes after the notice shows that the notice arrived: the
        token that the client came with ends."""
        if self._is_told and self.entry.former_hash:
            self.entry = self.entry.confirmed
            self._write_again()

    def start(self, fail: Callable[[VoiceError], None]) -> None:
        """Begins to write. `fail` is called when the session gets another owner."""
        self._fail = fail
        for writer in (self._saving, self._checkpointing):
            self._writers.append(asyncio.create_task(writer.run()))

    def keep(self, record: Record) -> None:
        """Has the record written, soon. Never waits."""
        self.entry = replace(self.entry, record=record)
        self._write_again()

    def save_again(self) -> None:
        """The actor has lost the session."""
        self._base = None
        if self.entry.record.history:
            self._saving.renew()

    def checkpoint_again(self) -> None:
        """Redis has lost the session."""
        if self.entry.record.history:
            self._checkpointing.renew()

    def was_taken(self) -> None:
        """The session has another owner now."""
        if self._fail is not None:
            self._fail(SessionTaken("the conversation goes on at another socket"))

    async def until_saved(self) -> None:
        """Waits until the last record is safe, but only for a moment."""
        if not await _is_set_within(_SAVED_S, self._saving.is_done):
            log.warning("session %s goes on before its record is saved", self.session)

    async def is_saved_soon(self) -> bool:
        """Whether all of the session is safe within some seconds."""
        return await _is_set_within(_BEING_SAVED_S, self._saving.is_done)

    async def end(self, is_kept: bool) -> None:
        """The socket is gone. `is_kept`: the session waits for its client; otherwise it is over."""
        try:
            async with asyncio.timeout(_OUTAGE_S if is_kept else _GOODBYE_S):
                if is_kept:
                    await self._saving.is_done.wait()
                    await _is_set_within(_REDIS_GOODBYE_S, self._checkpointing.is_done)
                await self._stop()
                if not is_kept:
                    await self._actors.forget(self.session, self.entry.epoch)
        except (EngineError, TimeoutError) as error:
            log.warning("session %s is left to expire: %s", self.session, error)
        finally:
            await self._stop()

    async def _stop(self) -> None:
        for writer in self._writers:
            writer.cancel()
        await asyncio.gather(*self._writers, return_exceptions=True)

    def _write_again(self) -> None:
        if self.entry.record.history:
            self._saving.renew()
            self._checkpointing.renew()

    async def _save(self) -> bool:
        """What is new goes to the actor. True when there is nothing left to try."""
        self.entry = entry = replace(self.entry, number=self.entry.number + 1)
        try:
            if await self._actors.save(self.session, entry, self._base):
                self._base = entry
            else:
                self.was_taken()
        except EngineError as error:
            log.warning("session %s is not saved yet: %s", self.session, error)
            return False
        return True

    async def _checkpoint(self) -> bool:
        return await self._actors.checkpoint(self.session, self.entry)


async def _is_set_within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


class Leases:
    """The leases of an ingress replica. Renews all of them together, once a second: so an owner
    soon learns that another one has its session, and an actor that lost its sessions gets them
    back."""

    def __init__(self, actors: SessionActors) -> None:
        self._actors = actors
        self._leases: dict[str, Lease] = {}
        self._ending: dict[str, Lease] = {}
        """Their sockets are gone; they may still be being saved."""

    async def attach(self, token: str, tenant: str = "") -> Lease:
        """Of the tenant's session with this token. If it was here before, it is saved first: an
        actor that was away would not know it, or not all of it. Raises SessionUnknown or
        SessionsUnavailable."""
        session = session_of(token)
        former = self._leases.get(session) or self._ending.get(session)
        is_theirs = former is not None and former.tenant == tenant
        if former is not None and is_theirs and not await former.is_saved_soon():
            raise SessionsUnavailable("the session is being saved: try again")
        return await Lease.attach(self._actors, token, tenant)

    def add(self, lease: Lease) -> None:
        """If this replica already owns the session, it was resumed here: the older lease ends."""
        if older := self._leases.get(lease.session):
            older.was_taken()
        self._leases[lease.session] = lease

    async def end(self, lease: Lease, is_kept: bool) -> None:
        """The socket is gone. See `Lease.end`. Also for a lease that was replaced."""
        _discard(self._leases, lease)
        self._ending[lease.session] = lease
        try:
            await lease.end(is_kept)
        finally:
            _discard(self._ending, lease)

    async def run(self) -> None:
        """Until cancelled."""
        for second in count():
            await asyncio.sleep(_RENEW_S)
            if self._leases:
                await self._renew()
                if second % _TOUCH_EVERY == 0:
                    await self._touch()

    async def _renew(self) -> None:
        asked = dict(self._leases)
        epochs = {session: lease.entry.epoch for session, lease in asked.items()}
        renewal = await self._actors.renew(epochs)
        for session in renewal.taken:
            asked[session].was_taken()
        for session in renewal.unknown:
            if self._leases.get(session) is asked[session]:
                asked[session].save_again()

    async def _touch(self) -> None:
        asked = dict(self._leases)
        for session in await self._actors.touch(asked):
            if self._leases.get(session) is asked[session]:
                asked[session].checkpoint_again()


def _discard(leases: dict[str, Lease], lease: Lease) -> None:
    if leases.get(lease.session) is lease:
        del leases[lease.session]
