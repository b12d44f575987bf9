"""All session actors as one, as the ingress sees them."""

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress

from serve_app.errors import EngineUnavailable, SessionsUnavailable, SessionUnknown
from serve_app.sessions.checkpoints import Checkpoints
from serve_app.sessions.handles import ActorHandles, actor_name
from serve_app.sessions.store import Entry, Renewal

_YOUNG_S = 5.0
"""An actor that died starts again empty; within this time the owners have saved their sessions to
it again."""


class SessionActors:
    """Spreads sessions over the actors by hash, and writes them to Redis if one is configured."""

    def __init__(
        self,
        count: int,
        checkpoints: Checkpoints | None = None,
        handles: ActorHandles | None = None,
    ) -> None:
        """`count`: actors of this version of the application."""
        self._count = count
        self._checkpoints = checkpoints
        self._handles = handles or ActorHandles()

    async def save(self, session: str, entry: Entry, base: Entry | None = None) -> bool:
        """False when the session has another owner. `base` is what the actor should have of it
        already: then only what is new is sent, or all if it does not. Raises EngineUnavailable."""
        actor = self._actor(session)
        if base is not None and (update := entry.since(base)) is not None:
            is_saved: bool | None = await self._handles.ask(actor, "update", session, update)
            if is_saved is not None:
                return is_saved
        return bool(await self._handles.ask(actor, "save", session, entry))

    async def checkpoint(self, session: str, entry: Entry) -> bool:
        """False when a Redis that there is does not have it. Never raises: a Redis that is slow or
        down only causes a warning."""
        return self._checkpoints is None or await self._checkpoints.save(session, entry)

    async def touch(self, sessions: Iterable[str]) -> list[str]:
        """Tells Redis that the owners of these sessions are alive. Returns those that it has
        lost."""
        return [] if self._checkpoints is None else await self._checkpoints.touch(sessions)

    async def attach(self, session: str, secret: str, next_hash: bytes) -> Entry:
        """Makes the caller the owner. Raises SessionUnknown or SessionsUnavailable."""
        actor, is_certain = self._actor(session), True
        try:
            entry = await self._attach(actor, session, secret, next_hash)
            if entry is None:
                entry, is_certain = await self._moved(session, secret, next_hash)
            if entry is None and await self._is_restored(session, secret):
                entry = await self._attach(actor, session, secret, next_hash)
            if entry is None and not (is_certain and await self._is_grown(actor)):
                raise SessionsUnavailable("the sessions are being restored: try again")
        except EngineUnavailable:
            raise SessionsUnavailable("the sessions cannot be reached: try again") from None
        if entry is None:
            raise SessionUnknown("no such session, or it has ended: open a new one")
        await self.checkpoint(session, entry.at_new_socket)
        return entry

    async def renew(self, epochs: Mapping[str, int]) -> Renewal:
        """One call for each actor; leaves out those that cannot be reached."""
        by_actor: dict[str, dict[str, int]] = defaultdict(dict)
        for session, epoch in epochs.items():
            by_actor[self._actor(session)][session] = epoch
        calls = [self._handles.ask(actor, "renew", mine) for actor, mine in by_actor.items()]
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
        await self._handles.ask(self._actor(session), "forget", session, epoch)

    async def _attach(
        self, actor: str, session: str, secret: str, next_hash: bytes
    ) -> Entry | None:
        entry: Entry | None = await self._handles.ask(actor, "attach", session, secret, next_hash)
        return entry

    async def _moved(
        self, session: str, secret: str, next_hash: bytes
    ) -> tuple[Entry | None, bool]:
        """Takes the session over from an actor of another version of the application. Also returns
        whether every actor that might hold it has answered."""
        try:
            actors = await self._handles.of_other_versions()
        except EngineUnavailable:
            return None, False
        is_certain = True
        for actor in actors:
            try:
                entry = await self._attach(actor, session, secret, next_hash)
            except EngineUnavailable:
                is_certain = False
                continue
            if entry is not None:
                entry = entry.resumed_with(secret)  # which a version before this one does not do
                await self.save(session, entry.at_new_socket)
                with suppress(EngineUnavailable):  # then it expires there
                    await self._handles.ask(actor, "forget", session, entry.epoch)
                return entry, True
        return None, is_certain

    async def _is_grown(self, actor: str) -> bool:
        return bool(await self._handles.ask(actor, "age_s") >= _YOUNG_S)

    async def _is_restored(self, session: str, secret: str) -> bool:
        """Gives the actor what Redis holds, if the client has the right secret."""
        entry = await self._checkpoints.load(session) if self._checkpoints is not None else None
        if entry is None or entry.opened_by(secret) is None:
            return False
        return await self.save(session, entry)

    def _actor(self, session: str) -> str:
        return actor_name(zlib.crc32(session.encode()) % self._count)
