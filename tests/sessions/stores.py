"""Session actors without Ray around them: real stores, at a time that is set."""

import asyncio
import pickle
from dataclasses import replace
from typing import Any

from serve_app.conversation.events import Opened
from serve_app.conversation.history import ChatMessage, Record, Role
from serve_app.errors import EngineUnavailable
from serve_app.sessions.handles import ActorHandles
from serve_app.sessions.store import Entry, SessionStore, hashed

OWN = "sessions-0"
OLD = "ACTOR::echo::Ingress::older::sessions-0"


def entry(text: str, epoch: int = 1, secret: str = "one") -> Entry:
    history = (ChatMessage("system", "Be kind."), ChatMessage("user", text))
    return Entry(Record(history, 2, 1), Opened(""), hashed(secret), epoch)


def extended(record: Record, *texts: str) -> Record:
    """Who speaks next, in turn."""
    history = record.history
    for text in texts:
        role: Role = "user" if history[-1].role != "user" else "assistant"
        history = (*history, ChatMessage(role, text))
    return replace(record, history=history)


class Stores(ActorHandles):
    """Each name is a store."""

    def __init__(self, *names: str, age_s: float = 60.0) -> None:
        self.stores = {name: SessionStore() for name in names}
        self.dead: set[str] = set()
        self.has_list = True
        self.has_saved = asyncio.Event()
        self.has_refused = asyncio.Event()
        self.now_s = 0.0
        self.sent: list[tuple[str, Any]] = []
        """Each save, by its method, with what was sent."""
        self._age_s = age_s

    async def ask(self, name: str, method: str, *args: Any) -> Any:
        if name in self.dead:
            self.has_refused.set()
            raise EngineUnavailable("sessions", name)
        if method == "age_s":
            return self._age_s
        answer = getattr(self.stores[name], method)(*args, self.now_s)
        if method in ("save", "update"):
            self.sent.append((method, args[1]))
            if answer:
                self.has_saved.set()
        return answer

    @property
    def sent_bytes(self) -> list[int]:
        """What each save takes on its way."""
        return [len(pickle.dumps(what)) for _, what in self.sent]

    async def of_other_versions(self) -> list[str]:
        if not self.has_list:
            raise EngineUnavailable("sessions", "no list")
        return [name for name in self.stores if name != OWN]
