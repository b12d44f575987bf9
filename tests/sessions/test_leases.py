"""How an owner writes its session: only what is new, and until it is written."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from unittest.mock import AsyncMock

import pytest

from serve_app.conversation.events import Opened
from serve_app.conversation.history import ChatMessage, History, Record
from serve_app.errors import SessionsUnavailable, SessionUnknown, VoiceError
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.leases import Lease, Leases
from serve_app.sessions.store import Entry
from tests.sessions.stores import OWN, Stores

DEADLINE_S = 5.0
OPTIONS = Opened("", turn={"backchannels": ["uh-huh" * 6] * 64})


class Redis:
    """Takes what it is given, unless it is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.kept: dict[str, Entry] = {}
        self.has_refused = asyncio.Event()
        self.has_saved = asyncio.Event()

    async def save(self, session: str, entry: Entry) -> bool:
        if self.is_away:
            self.has_refused.set()
            return False
        self.kept[session] = entry
        self.has_saved.set()
        return True

    async def touch(self, sessions: list[str]) -> list[str]:
        return [session for session in sessions if session not in self.kept]


def record(*texts: str) -> Record:
    return Record(tuple(ChatMessage("user", text) for text in ("Be kind.", *texts)), 2, 1)


@pytest.fixture
def stores() -> Stores:
    return Stores(OWN)


@asynccontextmanager
async def running(lease: Lease, fail: Callable[[VoiceError], None] = print) -> AsyncIterator[Lease]:
    lease.start(fail)
    try:
        yield lease
    finally:
        await lease._stop()


async def within(event: asyncio.Event) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await event.wait()


def begun(stores: Stores, redis: Redis | None = None) -> Lease:
    return Lease.begin(SessionActors(1, redis, stores), "a", OPTIONS)  # type: ignore[arg-type]


# --- a save that failed ---


async def test_a_save_that_failed_is_tried_again_although_nothing_new_happens(
    stores: Stores,
) -> None:
    async with running(begun(stores)) as lease:
        stores.dead.add(OWN)
        lease.keep(record("Hello."))
        await within(stores.has_refused)
        stores.dead.clear()
        await within(stores.has_saved)
        assert stores.stores[OWN].entries["a"].record == record("Hello.")
        await within(lease._saving.is_done)


async def test_a_save_that_failed_is_not_taken_for_one_that_was_done(stores: Stores) -> None:
    """The client is told all the same, a moment later: it does not wait for an outage to end."""
    async with running(begun(stores)) as lease:
        stores.dead.add(OWN)
        lease.keep(record("Hello."))
        async with asyncio.timeout(DEADLINE_S):
            await lease.until_saved()
        assert not lease._saving.is_done.is_set()


async def test_what_is_newer_is_written_at_once_and_nothing_else(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.sessions.writer._FIRST_S", 10 * DEADLINE_S)
    async with running(begun(stores)) as lease:
        stores.dead.add(OWN)
        lease.keep(record("Hello."))
        await within(stores.has_refused)
        stores.dead.clear()
        lease.keep(record("Hello.", "Hi."))
        await within(stores.has_saved)
        assert [what.record for _, what in stores.sent] == [record("Hello.", "Hi.")]


async def test_a_session_that_ends_while_nothing_can_be_saved_ends_all_the_same(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.sessions.leases._OUTAGE_S", 0.05)
    lease = begun(stores)
    lease.start(print)
    stores.dead.add(OWN)
    lease.keep(record("Hello."))
    async with asyncio.timeout(DEADLINE_S):
        await lease.end(is_kept=True)
    assert all(writer.done() for writer in lease._writers)


async def test_an_owner_that_was_superseded_does_not_try_again(stores: Stores) -> None:
    taken = asyncio.Event()
    async with running(begun(stores), lambda error: taken.set()) as lease:
        lease.keep(record("Hello."))
        await within(stores.has_saved)
        other = await Lease.attach(lease._actors, lease.notice(60.0).resume_token)
        lease.keep(record("Hello.", "late"))
        await within(taken)
        await within(lease._saving.is_done)
        assert stores.stores[OWN].entries["a"].epoch == other.entry.epoch


# --- Redis ---


async def test_redis_is_written_when_it_is_back_although_nothing_new_happens(
    stores: Stores,
) -> None:
    redis = Redis()
    async with running(begun(stores, redis)) as lease:
        redis.is_away = True
        lease.keep(record("Hello."))
        await within(redis.has_refused)
        await within(stores.has_saved)
        await within(lease._saving.is_done)
        redis.is_away = False
        await within(redis.has_saved)
        assert redis.kept["a"].record == record("Hello.")


async def test_a_redis_that_has_lost_a_session_gets_it_again(stores: Stores) -> None:
    redis = Redis()
    async with running(begun(stores, redis)) as lease:
        leases = Leases(lease._actors)
        leases.add(lease)
        lease.keep(record("Hello."))
        await within(redis.has_saved)
        redis.kept.clear()
        redis.has_saved.clear()
        await leases._touch()
        await within(redis.has_saved)
        assert list(redis.kept) == ["a"]


async def test_a_redis_that_is_away_holds_up_no_save(stores: Stores) -> None:
    redis = Redis()
    redis.save = AsyncMock(side_effect=asyncio.Event().wait)  # type: ignore[method-assign]
    async with running(begun(stores, redis)) as lease:
        for text in ("one", "two"):
            stores.has_saved.clear()
            lease.keep(record(text))
            await within(stores.has_saved)


# --- only what is new ---


async def test_the_cost_of_a_commit_does_not_grow_with_the_length_of_the_call(
    stores: Stores,
) -> None:
    """Thousands of turns: each save carries the two messages that are new, and their bytes."""
    history = History()
    history.begin("p" * 4000, "")
    async with running(begun(stores)) as lease:
        for turn in range(1000, 4000):
            history.add_user(f"question {turn}")
            history.add_assistant(f"answer {turn}")
            lease.keep(Record(history.chat, turn, turn))
            await within(lease._saving.is_done)
    assert [method for method, _ in stores.sent] == ["save"] + ["update"] * 2999
    sent = [[m.content for m in what.record.history] for _, what in stores.sent[1:]]
    assert sent == [[f"question {turn}", f"answer {turn}"] for turn in range(1001, 4000)]
    _, *updates = stores.sent_bytes
    assert max(updates) <= min(updates) + 16, "numbers take a byte more as they grow"
    assert max(updates) < 1000, "neither the prompt nor the options are among it"
    kept = stores.stores[OWN].entries["a"].record.history
    assert kept[-1].content == "answer 3999" and len(kept) > 1000


async def test_an_actor_that_does_not_know_the_session_is_sent_all_of_it_once(
    stores: Stores,
) -> None:
    async with running(begun(stores)) as lease:
        for number in range(1, 7):
            if number == 4:
                del stores.stores[OWN]._entries["a"]
            kept = record(*[str(n) for n in range(number)])
            history = lease.entry.record.history or kept.history[:1]
            lease.keep(replace(kept, history=(*history, kept.history[-1])))
            await within(lease._saving.is_done)
        methods = [method for method, _ in stores.sent]
        assert methods == ["save", "update", "update", "update", "save", "update", "update"]
        assert stores.stores[OWN].entries["a"] == lease.entry


async def test_the_first_save_after_a_resume_builds_on_what_the_actor_has(stores: Stores) -> None:
    async with running(begun(stores)) as lease:
        lease.keep(record("Hello."))
        await within(lease._saving.is_done)
        stores.sent.clear()
        other = await Lease.attach(lease._actors, lease.notice(60.0).resume_token)
        async with running(other):
            await within(other._saving.is_done)
            assert [method for method, _ in stores.sent] == ["update"]
            assert stores.stores[OWN].entries["a"] == other.entry


async def test_a_client_that_comes_back_is_told_what_was_taken(stores: Stores) -> None:
    async with running(begun(stores)) as lease:
        lease.keep(replace(record("Hello."), heard_samples=512, text_id=5))
        await within(lease._saving.is_done)
        token = lease.notice(60.0).resume_token
        for _ in range(2):  # the first notice does not arrive
            other = await Lease.attach(lease._actors, token)
            async with running(other):
                await within(other._saving.is_done)
                notice = other.notice(60.0)
                assert (notice.heard_samples, notice.text_id) == (512, 5)


# --- a session that comes back before it was saved ---


async def test_a_client_that_comes_back_before_its_session_was_saved_waits_for_that(
    stores: Stores,
) -> None:
    """Found by `bench.random_outages`: the actor did not know it yet, which was final (4404)."""
    leases, lease = Leases(SessionActors(1, None, stores)), begun(stores)
    stores.dead.add(OWN)
    lease.start(print)
    lease.keep(record("Hello."))
    await within(stores.has_refused)
    ending = asyncio.create_task(leases.end(lease, is_kept=True))
    coming = asyncio.create_task(leases.attach(lease.notice(60.0).resume_token))
    await asyncio.sleep(0)
    assert not coming.done()
    stores.dead.clear()
    async with asyncio.timeout(DEADLINE_S):
        assert (await coming).entry.record == record("Hello.")
        await ending


async def test_a_client_that_comes_back_while_nothing_can_be_saved_is_told_to_try_again(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.sessions.leases._BEING_SAVED_S", 0.05)
    leases, lease = Leases(SessionActors(1, None, stores)), begun(stores)
    stores.dead.add(OWN)
    async with running(lease):
        lease.keep(record("Hello."))
        leases.add(lease)
        with pytest.raises(SessionsUnavailable):
            await leases.attach(lease.notice(60.0).resume_token)


# --- another tenant ---


@pytest.mark.parametrize("other", ["key:ben", "", "key:ada ", "key:ad"])
async def test_a_stolen_token_opens_nothing_and_disturbs_nobody(stores: Stores, other: str) -> None:
    """Whether the session was saved or not: the thief is not even made to wait."""
    actors = SessionActors(1, None, stores)
    leases = Leases(actors)
    async with running(Lease.begin(actors, "a", OPTIONS, "key:ada")) as lease:
        leases.add(lease)
        token = lease.notice(60.0).resume_token
        stores.dead.add(OWN)
        lease.keep(record("Hello."))
        await within(stores.has_refused)
        with pytest.raises(SessionsUnavailable, match="cannot be reached"):
            await leases.attach(token, other)
        stores.dead.clear()
        await within(stores.has_saved)
        before = stores.stores[OWN].entries["a"]
        with pytest.raises(SessionUnknown):
            await leases.attach(token, other)
        assert stores.stores[OWN].entries["a"] == before
        assert (await leases.attach(token, "key:ada")).entry.epoch == before.epoch + 1
