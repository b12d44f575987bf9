"""Who owns a session, for how long, and how much of it is kept: in virtual time."""

import pickle
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.conversation.events import Opened
from serve_app.conversation.history import ChatMessage, Record, trimmed
from serve_app.conversation.open_reply import OpenReply
from serve_app.conversation.sound import Sound
from serve_app.sessions.store import Entry, SessionStore, hashed
from tests.sessions.stores import entry, extended

WINDOW_S = 60.0


@pytest.fixture
def store() -> SessionStore:
    return SessionStore(WINDOW_S, max_sessions=3)


def test_the_last_state_is_kept_until_it_is_forgotten(store: SessionStore) -> None:
    store.save("a", entry("one"), 0.0)
    store.save("a", entry("two"), 1.0)
    store.save("b", entry("three"), 1.0)
    assert store.entries == {"a": entry("two"), "b": entry("three")}
    store.forget("a", epoch=1, now_s=2.0)
    store.forget("a", epoch=1, now_s=2.0)
    assert store.entries == {"b": entry("three")}


# --- coming back ---


def attached(store: SessionStore, secret: str, next_secret: str, now_s: float = 1.0) -> Entry:
    entry = store.attach("a", secret, hashed(next_secret), now_s)
    assert entry is not None
    return entry


def test_a_secret_works_until_the_owner_has_heard_from_the_client(store: SessionStore) -> None:
    store.save("a", entry("hello"), 0.0)
    mine = attached(store, "one", "two")
    assert mine.confirmed == entry("hello", epoch=2, secret="two")
    assert store.save("a", mine.confirmed, 1.0)
    assert store.attach("a", "one", hashed("three"), 1.0) is None
    assert attached(store, "two", "three").confirmed == entry("hello", 3, "three")


def test_two_phases_a_client_that_was_not_told_its_new_secret_comes_with_the_former_one(
    store: SessionStore,
) -> None:
    """It goes on from there: it has heard nothing of what was said to it meanwhile."""
    store.save("a", entry("hello"), 0.0)
    lost = attached(store, "one", "two")
    assert store.save("a", replace(lost, record=entry("said to nobody").record), 2.0)
    again = attached(store, "one", "three")
    assert (again.record, again.epoch) == (entry("hello").record, 3)
    assert not store.save("a", lost, 3.0), "the newcomer has it"
    assert store.attach("a", "two", hashed("four"), 3.0) is None, "that secret was never told"


def test_two_phases_a_client_that_was_told_goes_on_with_what_it_heard(store: SessionStore) -> None:
    store.save("a", entry("hello"), 0.0)
    mine = attached(store, "one", "two")
    store.save("a", replace(mine, record=entry("heard").record), 2.0)
    assert attached(store, "two", "three").record == entry("heard").record
    assert store.attach("a", "one", hashed("four"), 3.0) is None, "the new one was used"


def test_two_phases_heard_samples_belong_to_the_socket_that_the_client_counts(
    store: SessionStore,
) -> None:
    """Found by `bench.random_outages`: an owner that ended before its first save left the count of
    the socket before, and the client, which counted anew, did not send its words again."""
    store.save("a", heard(entry("hello"), 5120), 0.0)
    assert attached(store, "one", "two").record.heard_samples == 5120
    assert attached(store, "one", "three").record.heard_samples == 5120, "it was never told"
    assert attached(store, "three", "four").record.heard_samples == 0, (
        "it was told, and counts anew"
    )
    assert attached(store, "three", "five").record.heard_samples == 0


def heard(entry: Entry, samples: int) -> Entry:
    return replace(entry, record=replace(entry.record, heard_samples=samples))


def test_two_phases_of_two_who_come_with_one_secret_one_stays(store: SessionStore) -> None:
    store.save("a", entry("hello"), 0.0)
    first, second = attached(store, "one", "two"), attached(store, "one", "three")
    assert not store.save("a", first.confirmed, 2.0)
    assert store.save("a", second.confirmed, 2.0)
    assert store.attach("a", "one", hashed("four"), 3.0) is None


def test_two_phases_the_first_of_two_stays_if_its_client_was_heard_before(
    store: SessionStore,
) -> None:
    store.save("a", entry("hello"), 0.0)
    store.save("a", attached(store, "one", "two").confirmed, 2.0)
    assert store.attach("a", "one", hashed("three"), 3.0) is None


def test_two_phases_the_former_secret_survives_saves_and_updates(store: SessionStore) -> None:
    store.save("a", entry("hello"), 0.0)
    mine = attached(store, "one", "two")
    newer = replace(mine, record=extended(mine.record, "Hi."), number=1)
    update = newer.since(mine)
    assert update is not None and store.update("a", update, 2.0)
    assert store.entries["a"] == newer
    confirmed = replace(newer.confirmed, number=2)
    update = confirmed.since(newer)
    assert update is not None and store.update("a", update, 3.0)
    assert store.entries["a"] == confirmed


def test_an_entry_of_an_older_version_has_the_defaults() -> None:
    """The takeover from its actor, during an update. A class with slots is pickled as the list of
    its values."""
    kept = entry("hello")
    record = Record.__new__(Record)
    record.__setstate__([kept.record.history, 2, 1, None, 0])  # type: ignore[attr-defined]
    old = Entry.__new__(Entry)
    old.__setstate__([record, Opened(""), hashed("one"), 4])  # type: ignore[attr-defined]
    assert old == entry("hello", epoch=4)
    assert pickle.loads(pickle.dumps(old)) == old


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (ChatMessage, ["user", "hello"]),
        (OpenReply, ["01002abc", (("Hm.", 0.5),), True, 0.25]),
        (Sound, ["joe", 16_000, "de"]),
        (Opened, ["", frozenset(), None, "", Sound(), {}, True, None, None]),
    ],
)
def test_so_have_its_parts(kind: Any, values: list[object]) -> None:
    """As they were pickled before clients had tools, and answers in text."""
    old = kind.__new__(kind)
    old.__setstate__(values)
    assert old == kind(*values)


def test_an_entry_can_be_read_by_an_older_version() -> None:
    """The other way round: what it does not know comes last, in classes that it knows."""
    state = entry("hello").__getstate__()  # type: ignore[attr-defined]
    assert state[:4] == [entry("hello").record, Opened(""), hashed("one"), 1]
    assert state[0].__getstate__()[:5] == [entry("hello").record.history, 2, 1, None, 0]


def test_a_wrong_secret_changes_nothing(store: SessionStore) -> None:
    store.save("a", entry("hello"), 0.0)
    assert store.attach("a", "two", hashed("mine"), 1.0) is None
    assert store.attach("b", "one", hashed("mine"), 1.0) is None
    assert store.entries == {"a": entry("hello")}


def test_the_hash_is_not_the_secret() -> None:
    assert b"one" not in hashed("one")
    assert "secret" not in repr(entry("hello"))


@pytest.mark.parametrize(("away_s", "is_known"), [(WINDOW_S - 1, True), (WINDOW_S, False)])
def test_the_window_counts_from_the_last_sign_of_the_owner(
    store: SessionStore, away_s: float, is_known: bool
) -> None:
    store.save("a", entry("hello"), 0.0)
    store.renew({"a": 1}, 50.0)
    attached = store.attach("a", "one", hashed("two"), 50.0 + away_s)
    assert (attached is not None) is is_known
    assert bool(store.entries) is is_known


# --- one owner ---


def test_what_an_older_owner_writes_is_refused(store: SessionStore) -> None:
    store.save("a", entry("hello"), 0.0)
    store.attach("a", "one", hashed("two"), 1.0)
    assert not store.save("a", entry("late"), 2.0)
    store.forget("a", epoch=1, now_s=2.0)
    assert store.entries["a"].confirmed == entry("hello", 2, "two")
    assert store.save("a", entry("newer", 2, "two"), 3.0)


def test_a_save_that_was_given_up_does_not_undo_a_later_one(store: SessionStore) -> None:
    store.save("a", replace(entry("newer"), number=2), 0.0)
    assert store.save("a", replace(entry("late"), number=1), 1.0)
    assert store.entries["a"].record == entry("newer").record


def test_an_older_owner_learns_it_and_cannot_keep_the_lease(store: SessionStore) -> None:
    store.save("a", entry("hello"), 0.0)
    store.attach("a", "one", hashed("two"), 0.0)
    renewal = store.renew({"a": 1, "b": 1}, 30.0)
    assert (renewal.taken, renewal.unknown) == (["a"], ["b"])
    store.sweep(WINDOW_S)
    assert store.entries == {}


def test_a_new_actor_is_given_the_sessions_again(store: SessionStore) -> None:
    assert store.renew({"a": 2}, 0.0).unknown == ["a"]
    assert store.save("a", entry("hello", 2), 0.0)
    assert store.renew({"a": 2}, 1.0).unknown == []
    assert not store.save("a", entry("late", 1), 1.0), "who was superseded before stays so"


def test_an_older_owner_does_not_bring_back_what_is_over(store: SessionStore) -> None:
    store.save("a", entry("hello"), 0.0)
    store.attach("a", "one", hashed("two"), 1.0)
    store.forget("a", epoch=2, now_s=2.0)
    assert store.renew({"a": 1}, 3.0).taken == ["a"]
    assert not store.save("a", entry("late"), 3.0)
    store.sweep(2.0 + WINDOW_S)
    assert store.renew({"a": 1}, 2.0 + WINDOW_S).unknown == ["a"], "nothing is left of it"


# --- bounds ---


def test_when_it_is_full_the_one_that_is_away_for_longest_goes(store: SessionStore) -> None:
    for at_s, name in enumerate("abc"):
        store.save(name, entry(name), float(at_s))
    store.renew({"a": 1}, 5.0)
    store.save("d", entry("d"), 6.0)
    assert sorted(store.entries) == ["a", "c", "d"]


def test_a_long_history_is_trimmed(store: SessionStore) -> None:
    store = SessionStore(WINDOW_S, max_chars=60)
    long = [ChatMessage("user", "q" * 20), ChatMessage("assistant", "a" * 20)]
    history = (ChatMessage("system", "p" * 10), *long, *long, ChatMessage("user", "the last"))
    first = entry("")
    store.save("a", replace(first, record=Record(history, 7, 3)), 0.0)
    kept = store.entries["a"].record
    assert kept == Record((history[0], *long, history[-1]), 7, 3)


@given(st.text("p", max_size=50), st.lists(st.text("x", min_size=1, max_size=40), max_size=9))
def test_trimming(prompt: str, texts: list[str]) -> None:
    roles = ["user", "assistant"] * 5
    history = (
        ChatMessage("system", prompt),
        *(ChatMessage(role, text) for role, text in zip(roles, texts, strict=False)),  # type: ignore[arg-type]
    )
    kept = trimmed(history, 60)
    assert sum(len(m.content) for m in kept) <= max(60, len(prompt) + 1)
    assert kept[0] == history[0]
    assert [m.role for m in kept[-1:]] == [m.role for m in history[-1:]]
    assert all(one.role != other.role for one, other in pairwise(kept))
    assert trimmed(kept, 60) == kept


# --- sizes ---


class Counted(str):
    """Counts how often it is measured or compared."""

    times = 0

    def __len__(self) -> int:
        Counted.times += 1
        return super().__len__()

    def __eq__(self, other: object) -> bool:
        Counted.times += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


@pytest.fixture
def counted() -> type[Counted]:
    Counted.times = 0
    return Counted


def test_trimming_looks_at_each_message_but_a_few_times(counted: type[Counted]) -> None:
    texts = [ChatMessage("user", counted("question")), ChatMessage("assistant", counted("answer"))]
    kept = trimmed((ChatMessage("system", "p"), *texts * 3000), 1000)
    assert len(kept) > 100 and counted.times <= 3 * 6000


def test_renewing_looks_at_each_session_but_a_few_times(counted: type[Counted]) -> None:
    store = SessionStore(WINDOW_S)
    sessions = [counted(f"session {number}") for number in range(3000)]
    for session in sessions:
        store.save(session, entry("hello"), 0.0)
    counted.times = 0
    renewal = store.renew(dict.fromkeys(sessions, 1), 1.0)
    assert (renewal.taken, renewal.unknown) == ([], [])
    assert counted.times <= 3 * 3000


def test_an_erased_session_is_gone_and_its_owner_cannot_bring_it_back(store: SessionStore) -> None:
    store.save("a", entry("one"), 0.0)
    assert store.erase("a", 1.0)
    assert not store.erase("a", 1.0)
    assert "a" not in store.entries
    assert not store.save("a", replace(entry("one"), epoch=7), 2.0)
    assert store.renew({"a": 7}, 2.0).taken == ["a"]


def test_a_session_that_was_not_saved_yet_cannot_be_saved_later(store: SessionStore) -> None:
    assert not store.erase("a", 0.0)
    assert not store.save("a", entry("one"), 1.0)
