"""Where a session is looked for when its client comes back. The actors are real stores, without
Ray around them."""

from typing import Any

import pytest

from serve_app.conversation.events import Opened
from serve_app.conversation.history import ChatMessage, Record
from serve_app.errors import EngineUnavailable, SessionsUnavailable, SessionUnknown
from serve_app.sessions.handles import ActorHandles
from serve_app.sessions.pool import SessionPool
from serve_app.sessions.store import Entry, SessionStore, hashed

OWN = "sessions-0"
OLD = "ACTOR::echo::Ingress::older::sessions-0"
ENTRY = Entry(Record((ChatMessage("system", "Be kind."),), 3, 1), Opened(""), hashed("secret"))


class Actors(ActorHandles):
    """In the place of Ray's: each name is a store."""

    def __init__(self, *names: str, age_s: float = 60.0) -> None:
        self.stores = {name: SessionStore() for name in names}
        self.dead: set[str] = set()
        self.has_list = True
        self._age_s = age_s

    async def ask(self, name: str, method: str, *args: Any) -> Any:
        if name in self.dead:
            raise EngineUnavailable("sessions", name)
        return self._age_s if method == "age_s" else getattr(self.stores[name], method)(*args, 0.0)

    async def of_other_versions(self) -> list[str]:
        if not self.has_list:
            raise EngineUnavailable("sessions", "no list")
        return [name for name in self.stores if name != OWN]


async def attached(actors: Actors, secret: str = "secret") -> Entry:
    return await SessionPool(1, asked=actors).attach("a", secret, hashed("next"))


async def test_a_session_moves_from_the_actor_of_an_older_version() -> None:
    actors = Actors(OWN, OLD)
    actors.stores[OLD].save("a", ENTRY, 0.0)
    entry = await attached(actors)
    assert (entry.record, entry.epoch) == (ENTRY.record, 2)
    assert actors.stores[OWN].entries == {"a": entry}
    assert actors.stores[OLD].entries == {}
    assert not actors.stores[OLD].save("a", ENTRY, 0.0), "the owner before it is refused"
    assert (await attached(actors, "next")).epoch == 3


async def test_only_its_own_secret_moves_it() -> None:
    actors = Actors(OWN, OLD)
    actors.stores[OLD].save("a", ENTRY, 0.0)
    with pytest.raises(SessionUnknown):
        await attached(actors, "another secret")
    assert list(actors.stores[OLD].entries) == ["a"]


async def test_an_actor_that_cannot_be_asked_may_have_it() -> None:
    """4404 would be the last word to the client, and it might be wrong."""
    actors = Actors(OWN, OLD)
    actors.dead.add(OLD)
    with pytest.raises(SessionsUnavailable):
        await attached(actors)
    actors.dead.clear()
    actors.has_list = False
    with pytest.raises(SessionsUnavailable):
        await attached(actors)
    actors.has_list = True
    with pytest.raises(SessionUnknown):
        await attached(actors)


async def test_a_young_actor_may_not_have_it_yet() -> None:
    with pytest.raises(SessionsUnavailable):
        await attached(Actors(OWN, age_s=1.0))
