"""A save that carries only what is new."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.sessions.store import Entry, SessionStore, hashed
from tests.sessions.stores import entry, extended


@pytest.fixture
def store() -> SessionStore:
    return SessionStore()


def updated(store: SessionStore, base: Entry, newer: Entry) -> bool | None:
    update = newer.since(base)
    assert update is not None
    return store.update("a", update, 1.0)


def test_an_update_builds_on_the_save_that_it_names_and_on_no_other(store: SessionStore) -> None:
    first = replace(entry("hello"), number=1)
    second = replace(first, record=extended(first.record, "Hi."), number=2)
    third = replace(second, record=extended(second.record, "And?"), number=3)
    assert updated(store, first, second) is None, "a new actor"
    store.save("a", first, 0.0)
    assert updated(store, second, third) is None, "an update was lost"
    assert updated(store, first, second) and updated(store, second, third)
    assert store.entries == {"a": third}
    assert updated(store, first, second) is None, "it came twice"
    store.attach("a", "one", hashed("two"), 1.0)
    assert updated(store, third, replace(third, number=4)) is False, "another owner"


def test_an_update_of_another_epoch_needs_all_of_the_session(store: SessionStore) -> None:
    """An actor that was restored from an older state."""
    first = replace(entry("hello"), number=1)
    store.save("a", first, 0.0)
    mine = replace(first, epoch=2)
    assert updated(store, mine, replace(mine, number=2)) is None


def test_an_update_of_a_session_that_the_actor_has_trimmed(store: SessionStore) -> None:
    store = SessionStore(max_chars=25)
    first = entry("x" * 30)
    store.save("a", first, 0.0)
    for number in range(1, 50):
        texts = [f"answer {number}", f"question {number}"]
        second = replace(first, record=extended(first.record, *texts), number=number)
        assert updated(store, first, second)
        first = second
    kept = [message.content for message in store.entries["a"].record.history]
    assert kept == ["Be kind.", "question 49"], "an exchange stays whole"


@given(st.data())
def test_updates_lead_where_whole_saves_lead(data: st.DataObject) -> None:
    """Messages come at the end, the last one is replaced or taken back, the oldest are dropped."""
    by_update, by_save = SessionStore(max_chars=200), SessionStore(max_chars=200)
    newest = entry("hello")
    by_update.save("a", newest, 0.0)
    for number in range(1, data.draw(st.integers(2, 15))):
        chat = newest.record.history
        match data.draw(st.sampled_from(["say", "join", "take back", "drop", "nothing"])):
            case "say":
                chat = extended(newest.record, "x" * data.draw(st.integers(1, 60))).history
            case "join" if len(chat) > 1:
                chat = (*chat[:-1], replace(chat[-1], content=f"{chat[-1].content} more"))
            case "take back" if len(chat) > 2:
                chat = chat[:-1]
            case "drop" if len(chat) > 3:
                chat = chat[:1] + chat[3:]
        record = replace(newest.record, history=chat, generation=number)
        base, newest = newest, replace(newest, record=record, number=number)
        update = newest.since(base)
        assert update is not None and len(update.record.history) <= 1
        assert by_update.update("a", update, 0.0)
        by_save.save("a", newest, 0.0)
        kept, whole = by_update.entries["a"].record, by_save.entries["a"].record
        assert kept.history[-1:] == whole.history[-1:]
        assert len(whole.history) - 2 <= len(kept.history) <= len(whole.history)
