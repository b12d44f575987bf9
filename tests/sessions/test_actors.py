"""Where a session is looked for when its client comes back. The actors are real stores, without
Ray around them."""

from typing import Any

import pytest

from serve_app.conversation.events import Opened
from serve_app.conversation.history import ChatMessage, Record
from serve_app.errors import EngineUnavailable, SessionsUnavailable, SessionUnknown
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.handles import ActorHandles
from serve_app.sessions.store import Entry, SessionStore, hashed

OWN = "sessions-0"
OLD = "ACTOR::echo::Ingress::older::sessions-0"
ENTRY = Entry(Record((ChatMessage("system", "Be kind."),), 3, 1), Opened(""), hashed("secret"))


class Handles(ActorHandles):
    """In the place of those of Ray: each name is a store."""

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


async def attached(handles: Handles, secret: str = "secret") -> Entry:
    return await SessionActors(1, handles=handles).attach("a", secret, hashed("next"))


async def test_a_session_moves_from_the_actor_of_an_older_version() -> None:
    handles = Handles(OWN, OLD)
    handles.stores[OLD].save("a", ENTRY, 0.0)
    entry = await attached(handles)
    assert (entry.record, entry.epoch) == (ENTRY.record, 2)
    assert handles.stores[OWN].entries == {"a": entry}
    assert handles.stores[OLD].entries == {}
    assert not handles.stores[OLD].save("a", ENTRY, 0.0), "the owner before it is refused"
    assert (await attached(handles, "next")).epoch == 3


async def test_only_its_own_secret_moves_it() -> None:
    handles = Handles(OWN, OLD)
    handles.stores[OLD].save("a", ENTRY, 0.0)
    with pytest.raises(SessionUnknown):
        await attached(handles, "another secret")
    assert list(handles.stores[OLD].entries) == ["a"]


async def test_an_actor_that_cannot_be_asked_may_have_it() -> None:
    """4404 would be the last word to the client, and it might be wrong."""
    handles = Handles(OWN, OLD)
    handles.dead.add(OLD)
    with pytest.raises(SessionsUnavailable):
        await attached(handles)
    handles.dead.clear()
    handles.has_list = False
    with pytest.raises(SessionsUnavailable):
        await attached(handles)
    handles.has_list = True
    with pytest.raises(SessionUnknown):
        await attached(handles)


async def test_a_young_actor_may_not_have_it_yet() -> None:
    with pytest.raises(SessionsUnavailable):
        await attached(Handles(OWN, age_s=1.0))
