"""The pool of session actors, seen from the ingress."""

import asyncio
import hmac
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress

from serve_app.errors import EngineUnavailable, SessionsUnavailable, SessionUnknown
from serve_app.sessions.checkpoints import Checkpoints
from serve_app.sessions.handles import ActorHandles, actor_name
from serve_app.sessions.store import Entry, Renewal, hashed

_YOUNG_S = 5.0
"""An actor that died comes back empty; within this the owners have saved their sessions again."""


class SessionPool:
    """Sessions spread over the actors by hash, and written to Redis where one is configured."""

    def __init__(
        self,
        actors: int,
        checkpoints: Checkpoints | None = None,
        asked: ActorHandles | None = None,
    ) -> None:
        self._actors = actors
        self._checkpoints = checkpoints
        self._asked = asked or ActorHandles()

    async def save(self, session: str, entry: Entry) -> bool:
        """False when the session has another owner. Raises EngineUnavailable."""
        return bool(await self._asked.ask(self._actor(session), "save", session, entry))

    async def checkpoint(self, session: str, entry: Entry) -> None:
        """Never raises: a Redis that is slow or down is a warning."""
        if self._checkpoints is not None:
            await self._checkpoints.save(session, entry)

    async def touch(self, sessions: Iterable[str]) -> None:
        """These have an owner that is alive; for Redis, which is told less often."""
        if self._checkpoints is not None:
            await self._checkpoints.touch(sessions)

    async def attach(self, session: str, secret: str, next_hash: bytes) -> Entry:
        """Makes the caller the owner. Raises SessionUnknown or SessionsUnavailable."""
        actor, is_certain = self._actor(session), True
        try:
            entry: Entry | None = await self._asked.ask(actor, "attach", session, secret, next_hash)
            if entry is None:
                entry, is_certain = await self._moved(session, secret, next_hash)
            if entry is None and await self._is_restored(session, secret):
                entry = await self._asked.ask(actor, "attach", session, secret, next_hash)
            if entry is None and not (is_certain and await self._is_grown(actor)):
                raise SessionsUnavailable("the sessions are being restored: try again")
        except EngineUnavailable:
            raise SessionsUnavailable("the sessions cannot be reached: try again") from None
        if entry is None:
            raise SessionUnknown("no such session, or it has ended: open a new one")
        await self.checkpoint(session, entry)
        return entry

    async def renew(self, epochs: Mapping[str, int]) -> Renewal:
        """One call an actor; one that cannot be reached is left out."""
        by_actor: dict[str, dict[str, int]] = defaultdict(dict)
        for session, epoch in epochs.items():
            by_actor[self._actor(session)][session] = epoch
        calls = [self._asked.ask(actor, "renew", mine) for actor, mine in by_actor.items()]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        renewals = [answer for answer in answers if isinstance(answer, Renewal)]
        return Renewal(
            taken=[session for renewal in renewals for session in renewal.taken],
            unknown=[session for renewal in renewals for session in renewal.unknown],
        )

    async def forget(self, session: str, epoch: int) -> None:
        """Raises EngineUnavailable."""
        if self._checkpoints is not None:
            await self._checkpoints.forget(session, epoch)
        await self._asked.ask(self._actor(session), "forget", session, epoch)

    async def _moved(
        self, session: str, secret: str, next_hash: bytes
    ) -> tuple[Entry | None, bool]:
        """Takes the session from an actor of another version of the application. And whether all
        that may have it were asked."""
        try:
            actors = await self._asked.of_other_versions()
        except EngineUnavailable:
            return None, False
        is_certain = True
        for actor in actors:
            try:
                entry: Entry | None = await self._asked.ask(
                    actor, "attach", session, secret, next_hash
                )
            except EngineUnavailable:
                is_certain = False
                continue
            if entry is not None:
                await self.save(session, entry)
                with suppress(EngineUnavailable):  # it expires there
                    await self._asked.ask(actor, "forget", session, entry.epoch)
                return entry, True
        return None, is_certain

    async def _is_grown(self, actor: str) -> bool:
        return bool(await self._asked.ask(actor, "age_s") >= _YOUNG_S)

    async def _is_restored(self, session: str, secret: str) -> bool:
        """Gives the actor what Redis holds, if the client is entitled to it."""
        entry = await self._checkpoints.load(session) if self._checkpoints is not None else None
        if entry is None or not hmac.compare_digest(entry.secret_hash, hashed(secret)):
            return False
        return await self.save(session, entry)

    def _actor(self, session: str) -> str:
        return actor_name(zlib.crc32(session.encode()) % self._actors)
