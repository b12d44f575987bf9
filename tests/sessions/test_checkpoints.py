"""Sessions in a real Redis, which is started here."""

import asyncio
import logging
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from serve_app.conversation.calls import Call
from serve_app.conversation.events import Opened
from serve_app.conversation.history import ChatMessage, Record
from serve_app.conversation.open_reply import OpenReply
from serve_app.conversation.sound import Sound
from serve_app.errors import ConfigError
from serve_app.protocol.tools import Tool
from serve_app.sessions.checkpoints import Checkpoints, pack, unpack
from serve_app.sessions.store import Entry, hashed
from tests.redis_server import redis_server
from tests.serve.conftest import free_port

ENTRY = Entry(
    Record(
        (
            ChatMessage("system", "Be kind."),
            ChatMessage("user", "Grüß Gott!"),
            ChatMessage("assistant", "", (Call("c1", "look", "{}", '{"signature": 1}'),)),
            ChatMessage("tool", "ein Becher", call_id="c1"),
        ),
        7,
        3,
        OpenReply("02003abc", (("Grüß", 0.5), (" dich.", 0.5)), True, 0.25, "c1"),
        heard_samples=512,
        lasted_s=62.5,
        text_id=9,
        given=(OpenReply("02002abc", (("Hm.", 0.5),), True, 0.5),),
    ),
    Opened(
        "",
        frozenset({"state"}),
        None,
        "de",
        Sound("joe", 16_000),
        {"idle_close_ms": 5000},
        tools=(Tool("look", "Looks.", '{"type": "object"}'),),
    ),
    hashed("secret"),
    epoch=2,
    number=17,
    former_hash=hashed("former"),
    former_record=Record((ChatMessage("system", "Be kind."),), 6, 2),
)


@pytest.fixture(scope="module")
def redis() -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def checkpoints(
    redis: tuple["subprocess.Popen[bytes]", str],
) -> AsyncIterator[Checkpoints]:
    checkpoints = Checkpoints(redis[1], window_s=60.0, max_chars=1000)
    yield checkpoints
    await checkpoints.forget("a", 99)
    await checkpoints.close()


def test_an_entry_survives_being_packed() -> None:
    assert unpack(pack(ENTRY)) == ENTRY


def _without_tools() -> tuple[Entry, dict[str, Any]]:
    """An entry, and as version 3 wrote it."""
    history = ENTRY.record.history[:2]
    assert ENTRY.record.reply is not None
    reply = replace(ENTRY.record.reply, call_id="")
    record = replace(ENTRY.record, history=history, reply=reply)
    entry = replace(ENTRY, record=record, options=replace(ENTRY.options, tools=()), epoch=4)
    fields = msgpack.unpackb(pack(entry)) | {"version": 3}
    del fields["options"]["tools"]
    for record in (fields["record"], fields["former_record"]):
        for message in record["history"]:
            del message["calls"], message["call_id"]
        for said in (record["reply"], *record["given"]):
            (said or {"call_id": ""}).pop("call_id")
    return entry, fields


def test_an_entry_of_the_version_before_is_read() -> None:
    entry, fields = _without_tools()
    assert unpack(msgpack.packb(fields)) == entry


def test_an_entry_of_the_version_before_that_is_read() -> None:
    entry, fields = _without_tools()
    fields["version"] = 2
    for name in ("number", "former_hash", "former_record"):
        del fields[name]
    for name in ("lasted_s", "text_id", "given"):
        del fields["record"][name]
    old = unpack(msgpack.packb(fields))
    record = replace(entry.record, lasted_s=0.0, text_id=0, given=())
    assert old == Entry(record, entry.options, entry.secret_hash, epoch=4)
    assert unpack(msgpack.packb(fields | {"version": 1})) is None


@pytest.mark.parametrize("packed", [b"", b"\xc1", b"\x80", b"\x81\xa7version\x01", b"\x01"])
def test_what_is_no_entry_is_none(packed: bytes) -> None:
    assert unpack(packed) is None


def test_what_is_no_address() -> None:
    with pytest.raises(ConfigError, match="redis://host:6379/0"):
        Checkpoints("localhost", 60.0, 1000)


async def test_the_last_one_is_read_back_until_it_is_forgotten(checkpoints: Checkpoints) -> None:
    assert await checkpoints.load("a") is None
    assert await checkpoints.save("a", ENTRY)
    newer = replace(ENTRY, record=replace(ENTRY.record, generation=8))
    await checkpoints.save("a", newer)
    assert await checkpoints.touch(["a", "b"]) == ["b"], "Redis does not have that one"
    assert await checkpoints.load("a") == newer
    await checkpoints.forget("a", ENTRY.epoch)
    assert await checkpoints.load("a") is None


async def test_an_older_owner_changes_nothing(checkpoints: Checkpoints) -> None:
    await checkpoints.save("a", ENTRY)
    await checkpoints.save("a", replace(ENTRY, epoch=1, secret_hash=hashed("old")))
    await checkpoints.forget("a", epoch=1)
    assert await checkpoints.load("a") == ENTRY


async def test_a_redis_that_hangs_is_a_warning(
    redis: tuple["subprocess.Popen[bytes]", str],
    checkpoints: Checkpoints,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await checkpoints.save("a", ENTRY)
    redis[0].send_signal(signal.SIGSTOP)
    try:
        with caplog.at_level(logging.WARNING):
            async with asyncio.timeout(4):
                assert not await checkpoints.save("a", replace(ENTRY, epoch=3))
                assert await checkpoints.load("a") is None
    finally:
        redis[0].send_signal(signal.SIGCONT)
    assert [r.getMessage() for r in caplog.records if "Redis" in r.getMessage()] == [
        "Redis fails (TimeoutError): sessions are kept in memory only"
    ], "once in a while, without the address"


async def test_a_redis_that_is_gone_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(f"redis://:word@127.0.0.1:{free_port()}/0", 60.0, 1000)
    assert not await checkpoints.save("a", ENTRY)
    assert await checkpoints.touch(["a"]) == [], "nobody knows what it has"
    assert await checkpoints.load("a") is None
    assert "ConnectionError" in caplog.text and "word" not in caplog.text
    await checkpoints.close()


async def test_an_erased_session_is_gone_whoever_owns_it(checkpoints: Checkpoints) -> None:
    await checkpoints.save("erased", replace(ENTRY, epoch=9))
    assert await checkpoints.erase("erased") is True
    assert await checkpoints.erase("erased") is False
    assert await checkpoints.load("erased") is None
