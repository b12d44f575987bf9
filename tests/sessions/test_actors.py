"""Where a session is looked for when its client comes back. The actors are real stores, without
Ray around them."""

import pytest

from serve_app.conversation.events import Opened
from serve_app.conversation.history import ChatMessage, Record
from serve_app.errors import SessionsUnavailable, SessionUnknown
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.store import Entry, hashed
from tests.sessions.stores import OLD, OWN, Stores

ENTRY = Entry(Record((ChatMessage("system", "Be kind."),), 3, 1), Opened(""), hashed("secret"))


async def attached(stores: Stores, secret: str = "secret") -> Entry:
    return await SessionActors(1, handles=stores).attach("a", secret, hashed("next"))


async def test_a_session_moves_from_the_actor_of_an_older_version() -> None:
    stores = Stores(OWN, OLD)
    stores.stores[OLD].save("a", ENTRY, 0.0)
    entry = await attached(stores)
    assert (entry.record, entry.epoch) == (ENTRY.record, 2)
    assert stores.stores[OWN].entries == {"a": entry}
    assert stores.stores[OLD].entries == {}
    assert not stores.stores[OLD].save("a", ENTRY, 0.0), "the owner before it is refused"
    assert (await attached(stores, "next")).epoch == 3


async def test_only_its_own_secret_moves_it() -> None:
    stores = Stores(OWN, OLD)
    stores.stores[OLD].save("a", ENTRY, 0.0)
    with pytest.raises(SessionUnknown):
        await attached(stores, "another secret")
    assert list(stores.stores[OLD].entries) == ["a"]


async def test_an_actor_that_cannot_be_asked_may_have_it() -> None:
    """4404 would be the last word to the client, and perhaps wrong."""
    stores = Stores(OWN, OLD)
    stores.dead.add(OLD)
    with pytest.raises(SessionsUnavailable):
        await attached(stores)
    stores.dead.clear()
    stores.has_list = False
    with pytest.raises(SessionsUnavailable):
        await attached(stores)
    stores.has_list = True
    with pytest.raises(SessionUnknown):
        await attached(stores)


async def test_a_young_actor_may_not_have_it_yet() -> None:
    with pytest.raises(SessionsUnavailable):
        await attached(Stores(OWN, age_s=1.0))
