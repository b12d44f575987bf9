"""What outlives a session's socket and its ingress replica. Time is passed in.

A session has one owner, the driver of its socket. The owner has an epoch: each attach begins a new
one, and what an older owner still writes is refused. The owner renews its lease; when it stops, the
entry is kept for the window in which the client may come back. So the window counts from when the
server noticed that the client is gone, whenever that happened.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from serve_app.conversation.events import Opened
from serve_app.conversation.history import Record, trimmed
from serve_app.conversation.versions import travels
from serve_app.sessions.update import Update, update_since

LAST_EPOCH = 1 << 53
"""No owner has a later one."""


@travels
@dataclass(frozen=True, slots=True)
class Entry:
    """One session.

    A resume token has two phases. A resume changes the secret, but the client may never learn the
    new one. So until the owner has heard from the client, the secret that it came with opens the
    session as well, as it was then: what the owner has said since, nobody has heard.
    """

    record: Record
    options: Opened
    """Those of the first `open`; its prompt is in the history."""
    secret_hash: bytes = field(repr=False)
    epoch: int = 1
    number: int = 0
    """Of the last save: an update says on which one it builds."""
    former_hash: bytes = field(default=b"", repr=False)
    """Of the secret that the client came with; empty once it has been heard."""
    former_record: Record | None = None
    """What that secret opens."""

    def opened_by(self, secret: str) -> Record | None:
        """What a client with this secret goes on with; None for a wrong one."""
        given = hashed(secret)
        is_former = hmac.compare_digest(self.former_hash, given)
        is_newest = hmac.compare_digest(self.secret_hash, given)
        return self.record if is_newest else self.former_record if is_former else None

    def resumed_with(self, secret: str) -> "Entry":
        """Its newest secret was changed because of this one, which stays valid for now."""
        return replace(self, former_hash=hashed(secret), former_record=self.record)

    @property
    def at_new_socket(self) -> "Entry":
        """As it is kept once its owner is about to tell the client how much was heard: from then on
        the client counts from the first sample of the new socket, of which nothing was heard yet.
        The former secret opens the former count: who comes with it was told nothing."""
        return replace(self, record=replace(self.record, heard_samples=0))

    @property
    def confirmed(self) -> "Entry":
        """The client has its new secret: the former one opens nothing any more."""
        return replace(self, former_hash=b"", former_record=None)

    def since(self, base: "Entry") -> Update | None:
        """What is new; None if that is nearly everything."""
        return update_since(
            base.record,
            self.record,
            epoch=self.epoch,
            numbers=(base.number, self.number),
            is_confirmed=not self.former_hash,
        )

    def with_update(self, update: Update) -> "Entry":
        record = replace(update.record, history=update.history(self.record.history))
        entry = replace(self, record=record, number=update.number)
        return entry.confirmed if update.is_confirmed else entry


@dataclass(frozen=True, slots=True)
class Renewal:
    """The answer to an ingress replica that renews its leases."""

    taken: list[str]
    """These sessions have another owner now."""
    unknown: list[str]
    """These sessions are not here: the actor is a new one, and the owner should save them again."""


def bounded(entry: Entry, max_chars: int) -> Entry:
    """The entry with at most `max_chars` characters of history."""
    record, former = entry.record, entry.former_record
    return replace(
        entry,
        record=_bounded(record, max_chars),
        former_record=None if former is None else _bounded(former, max_chars),
    )


def _bounded(record: Record, max_chars: int) -> Record:
    return replace(record, history=trimmed(record.history, max_chars))


def hashed(secret: str) -> bytes:
    """What is stored in place of a secret; the secret has at least 128 bits."""
    return sha256(secret.encode()).digest()


def of_tenant(tenant: str, secret: str) -> str:
    """The secret as it is known for a tenant's session: with another tenant's name it is a wrong
    one, so that no actor and no Redis has to know whose a session is."""
    return f"{sha256(tenant.encode()).hexdigest()}:{secret}" if tenant else secret


class SessionStore:
    """One actor's sessions: at most `max_sessions`, each with at most `max_chars` of history."""

    def __init__(
        self, window_s: float = 60.0, max_sessions: int = 10_000, max_chars: int = 100_000
    ) -> None:
        self._window_s = window_s
        self._max_sessions = max_sessions
        self._max_chars = max_chars
        self._entries: dict[str, Entry] = {}
        self._expires_at_s: dict[str, float] = {}
        self._over: dict[str, tuple[int, float]] = {}
        """Next epoch and expiry of each session that was forgotten: an older owner must not bring
        it back."""

    def save(self, session: str, entry: Entry, now_s: float) -> bool:
        """Keeps the entry as the session's newest. False if the session has another owner now."""
        if self._epoch(session) > entry.epoch:
            return False
        if session not in self._entries:
            self._make_room(now_s)
        elif self._has_newer(session, entry):
            return True
        self._keep(session, bounded(entry, self._max_chars), now_s)
        return True

    def update(self, session: str, update: Update, now_s: float) -> bool | None:
        """`save` with less: what is new. None if it builds on what is not here; then all of the
        session has to be saved."""
        if self._epoch(session) > update.epoch:
            return False
        base = self._entries.get(session)
        if base is None or (base.epoch, base.number) != (update.epoch, update.base):
            return None
        self._keep(session, bounded(base.with_update(update), self._max_chars), now_s)
        return True

    def attach(self, session: str, secret: str, next_hash: bytes, now_s: float) -> Entry | None:
        """Gives the session to a new owner and changes its secret. `secret` stays valid until an
        owner has heard from the client: who comes last with it has the session. The answer says how
        much of the last socket's audio was heard; what is kept, of the new one's. None for a
        session that is not here, has expired or has another secret."""
        self.sweep(now_s)
        entry = self._entries.get(session)
        record = entry.opened_by(secret) if entry else None
        if entry is None or record is None:
            return None
        mine = replace(entry, record=record, secret_hash=next_hash, epoch=entry.epoch + 1)
        mine = mine.resumed_with(secret)
        self._keep(session, mine.at_new_socket, now_s)
        return mine

    def renew(self, epochs: Mapping[str, int], now_s: float) -> Renewal:
        """The owners of these sessions, with these epochs, are alive."""
        known = {session: epoch for session, epoch in epochs.items() if self._epoch(session)}
        mine = {session for session, epoch in known.items() if epoch >= self._epoch(session)}
        self._expires_at_s |= dict.fromkeys(mine, now_s + self._window_s)
        self.sweep(now_s)
        return Renewal(
            taken=[session for session in known if session not in mine],
            unknown=[session for session in epochs if session not in known],
        )

    def forget(self, session: str, epoch: int, now_s: float) -> None:
        """The conversation is over. Safe to repeat."""
        if self._epoch(session) <= epoch:
            self._drop(session)
            self._over[session] = (epoch + 1, now_s + self._window_s)

    def erase(self, session: str, now_s: float) -> bool:
        """Forgets the session, whoever owns it: the owner learns that at its next renewal, and can
        save nothing any more. Whether it was kept here."""
        is_kept = session in self._entries
        self.forget(session, LAST_EPOCH, now_s)
        return is_kept

    def sweep(self, now_s: float) -> None:
        """Drops what has expired."""
        for session in [s for s, at_s in self._expires_at_s.items() if at_s <= now_s]:
            self._drop(session)
        for session in [s for s, (_, at_s) in self._over.items() if at_s <= now_s]:
            del self._over[session]

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._entries

    def _keep(self, session: str, entry: Entry, now_s: float) -> None:
        self._entries[session] = entry
        self._expires_at_s[session] = now_s + self._window_s

    def _epoch(self, session: str) -> int:
        entry = self._entries.get(session)
        over, _ = self._over.get(session, (0, 0.0))
        return max(entry.epoch if entry else 0, over)

    def _has_newer(self, session: str, entry: Entry) -> bool:
        """A save that was given up may still arrive, after the one that was tried instead."""
        kept = self._entries[session]
        return kept.epoch == entry.epoch and kept.number > entry.number

    def _make_room(self, now_s: float) -> None:
        if len(self._entries) >= self._max_sessions:
            self.sweep(now_s)
        if len(self._entries) >= self._max_sessions:
            # The one whose last renewal is oldest: its client is the least likely to come back.
            self._drop(min(self._expires_at_s, key=self._expires_at_s.__getitem__))

    def _drop(self, session: str) -> None:
        self._entries.pop(session, None)
        self._expires_at_s.pop(session, None)
