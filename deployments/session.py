"""The session actor: a thin shell around the store. There are a few of them, and each one keeps
many sessions. They are called at commits, at attaches and once a second, never for a frame of
audio."""

import time
from collections.abc import Mapping

from serve_app.sessions.store import Entry, Renewal, SessionStore
from serve_app.sessions.update import Update
from serve_app.settings.schema import SessionSettings


class SessionActor:
    """A Ray actor class. Its methods are async so that they take turns: nothing interrupts one."""

    def __init__(self, settings: SessionSettings) -> None:
        self._store = SessionStore(
            settings.window_s, settings.max_sessions, settings.max_history_chars
        )
        self._started_s = time.monotonic()

    async def save(self, session: str, entry: Entry) -> bool:
        return self._store.save(session, entry, time.monotonic())

    async def update(self, session: str, update: Update) -> bool | None:
        return self._store.update(session, update, time.monotonic())

    async def attach(self, session: str, secret: str, next_hash: bytes) -> Entry | None:
        return self._store.attach(session, secret, next_hash, time.monotonic())

    async def renew(self, epochs: Mapping[str, int]) -> Renewal:
        return self._store.renew(epochs, time.monotonic())

    async def forget(self, session: str, epoch: int) -> None:
        self._store.forget(session, epoch, time.monotonic())

    async def erase(self, session: str) -> bool:
        """For `echo-serve forget`. Whether it was kept here."""
        return self._store.erase(session, time.monotonic())

    async def age_s(self) -> float:
        """Seconds since this process started: a young one may not know its sessions yet."""
        return time.monotonic() - self._started_s

    async def entries(self) -> dict[str, Entry]:
        """All that is kept, by session."""
        self._store.sweep(time.monotonic())
        return dict(self._store.entries)
