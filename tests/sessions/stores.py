"""Session actors without Ray around them: real stores, at time 0."""

import asyncio
from typing import Any

from serve_app.errors import EngineUnavailable
from serve_app.sessions.handles import ActorHandles
from serve_app.sessions.store import SessionStore

OWN = "sessions-0"
OLD = "ACTOR::echo::Ingress::older::sessions-0"


class Stores(ActorHandles):
    """Each name is a store."""

    def __init__(self, *names: str, age_s: float = 60.0) -> None:
        self.stores = {name: SessionStore() for name in names}
        self.dead: set[str] = set()
        self.has_list = True
        self.has_saved = asyncio.Event()
        self._age_s = age_s

    async def ask(self, name: str, method: str, *args: Any) -> Any:
        if name in self.dead:
            raise EngineUnavailable("sessions", name)
        if method == "age_s":
            return self._age_s
        answer = getattr(self.stores[name], method)(*args, 0.0)
        if method == "save":
            self.has_saved.set()
        return answer

    async def of_other_versions(self) -> list[str]:
        if not self.has_list:
            raise EngineUnavailable("sessions", "no list")
        return [name for name in self.stores if name != OWN]
