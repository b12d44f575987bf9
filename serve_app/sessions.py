"""The pool of session actors, seen from the ingress. The only user of Serve's deployment
actors, an alpha API: they belong to the application and outlive the ingress replicas."""

import asyncio
import zlib
from typing import Any

from ray import serve
from ray.exceptions import RayError

from serve_app.conversation.effects import Record
from serve_app.errors import EngineUnavailable

_TIMEOUT_S = 5.0


def actor_name(index: int) -> str:
    return f"sessions-{index}"


class SessionPool:
    """Sessions spread over the actors by hash."""

    def __init__(self, actors: int) -> None:
        self._actors = actors

    async def save(self, session: str, record: Record) -> None:
        """Raises EngineUnavailable; the session goes on without."""
        await self._ask(session, "save", session, record)

    async def load(self, session: str) -> Record | None:
        """What was saved last."""
        record: Record | None = await self._ask(session, "load", session)
        return record

    async def forget(self, session: str) -> None:
        await self._ask(session, "forget", session)

    async def _ask(self, session: str, method: str, *args: Any) -> Any:
        name = actor_name(zlib.crc32(session.encode()) % self._actors)
        try:
            # Looked up each time: an actor that was made anew has another handle.
            actor = await asyncio.to_thread(serve.get_deployment_actor, name)
            async with asyncio.timeout(_TIMEOUT_S):
                return await getattr(actor, method).remote(*args)
        except (RayError, ValueError, TimeoutError) as error:
            raise EngineUnavailable("sessions", f"{name}: {type(error).__name__}") from error
