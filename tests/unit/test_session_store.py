from deployments.session import SessionStore
from serve_app.conversation.effects import Record
from serve_app.conversation.history import Message


def record(text: str) -> Record:
    return Record((Message("system", "Be kind."), Message("user", text)), 2, 1)


async def test_the_last_record_is_kept_until_it_is_forgotten() -> None:
    store = SessionStore()
    await store.save("a", record("one"))
    await store.save("a", record("two"))
    await store.save("b", record("three"))
    assert await store.load("a") == record("two")
    assert await store.sessions() == ["a", "b"]
    await store.forget("a")
    await store.forget("a")
    assert await store.load("a") is None
    assert await store.load("b") == record("three")


async def test_sessions_whose_ingress_died_expire() -> None:
    store = SessionStore(kept_s=0.0)
    await store.save("dead", record("one"))
    await store.save("new", record("two"))
    assert await store.load("dead") is None
    assert await store.sessions() == ["new"]


async def test_a_session_that_goes_on_does_not_expire() -> None:
    store = SessionStore(kept_s=3600.0)
    for text in ("one", "two", "three"):
        await store.save("a", record(text))
        await store.save(text, record(text))
    assert await store.load("a") == record("three")
    assert await store.sessions() == ["one", "two", "a", "three"]
