"""Where a session is looked for when its client comes back. The actors are real stores, without
Ray around them."""

from dataclasses import replace
from unittest.mock import AsyncMock, Mock

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


async def test_two_phases_the_former_secret_also_moves_it() -> None:
    """The resume reached the actor, but its answer did not reach the client."""
    stores = Stores(OWN, OLD)
    stores.stores[OLD].save("a", ENTRY, 0.0)
    stores.stores[OLD].attach("a", "secret", hashed("never told"), 0.0)
    entry = await attached(stores)
    assert (entry.record, entry.epoch) == (ENTRY.record, 3)
    assert (await attached(stores)).epoch == 4


async def test_two_phases_after_the_takeover_from_a_version_that_has_but_one() -> None:
    stores = Stores(OWN, OLD)
    old = Mock(forget=Mock(return_value=None))
    old.attach.return_value = replace(ENTRY, epoch=2, secret_hash=hashed("next"))
    stores.stores[OLD] = old
    assert (await attached(stores)).epoch == 2
    old.attach.return_value = None
    assert (await attached(stores)).epoch == 3, "as if the first one had not been told"


async def test_two_phases_the_former_secret_opens_what_redis_has() -> None:
    stores = Stores(OWN)
    stores.stores[OWN].save("a", ENTRY, 0.0)
    mine = stores.stores[OWN].attach("a", "secret", hashed("never told"), 0.0)
    stores.stores[OWN]._entries.clear()
    redis = AsyncMock()
    redis.load.return_value = mine
    actors = SessionActors(1, redis, stores)
    entry = await actors.attach("a", "secret", hashed("next"))
    assert (entry.record, entry.epoch) == (ENTRY.record, 3)
    with pytest.raises(SessionUnknown):
        await actors.attach("a", "a wrong one", hashed("next"))


async def test_two_phases_heard_samples_of_the_last_socket_are_kept_nowhere() -> None:
    """The actor and Redis may be asked before the new owner has saved anything."""
    before = replace(ENTRY, record=replace(ENTRY.record, heard_samples=5120))
    stores, redis = Stores(OWN, OLD), AsyncMock()
    stores.stores[OLD].save("a", before, 0.0)
    entry = await SessionActors(1, redis, stores).attach("a", "secret", hashed("next"))
    assert entry.record.heard_samples == 5120
    for kept in (stores.stores[OWN].entries["a"], redis.save.await_args.args[1]):
        assert kept.record.heard_samples == 0
        opened = [kept.opened_by(secret) for secret in ("secret", "next")]
        assert [record.heard_samples for record in opened if record] == [5120, 0]


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
