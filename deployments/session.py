"""What of a session outlives its socket: many sessions an actor, several actors a pool."""

import time

import ray

from serve_app.conversation.effects import Record

KEPT_S = 3600.0
"""An entry that was not written for this long belongs to an ingress replica that died."""


class SessionStore:
    """Written at each committed turn, never for a frame of audio."""

    def __init__(self, kept_s: float = KEPT_S) -> None:
        self._kept_s = kept_s
        self._records: dict[str, tuple[float, Record]] = {}

    async def save(self, session: str, record: Record) -> None:
        self._expire()
        # Taken out and put in again, so that the dict stays in the order of writing.
        self._records.pop(session, None)
        self._records[session] = (time.monotonic(), record)

    async def load(self, session: str) -> Record | None:
        entry = self._records.get(session)
        return entry[1] if entry else None

    async def forget(self, session: str) -> None:
        self._records.pop(session, None)

    async def sessions(self) -> list[str]:
        """Those that are kept, the one written last at the end."""
        return list(self._records)

    def _expire(self) -> None:
        oldest = time.monotonic() - self._kept_s
        while self._records:
            session, (written, _) = next(iter(self._records.items()))
            if written >= oldest:
                return
            del self._records[session]


SessionActor = ray.remote(SessionStore)
