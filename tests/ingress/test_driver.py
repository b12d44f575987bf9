"""How a session ends at its socket, and whether it is kept for its client."""

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from serve_app.conversation.piece import Piece
from serve_app.conversation.settings import TurnSettings
from serve_app.errors import AtCapacity
from serve_app.protocol.close_codes import may_come_back
from tests.ingress.driven import AUDIO, DEADLINE_S, OPEN, Client, Replica, opened, resuming
from tests.sessions.stores import OWN


def fail_the_vad(replica: Replica, client: Client) -> None:
    replica.vad_fails = True
    client.send(AUDIO)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda replica, client: client.send({"type": "close"}), 1000),
        (lambda replica, client: client.hang_up(), 1001),
        (fail_the_vad, 1011),
        (lambda replica, client: client.driver.drain(1.0), 1012),
        (lambda replica, client: client.send({"type": "dance"}), 4400),
        (lambda replica, client: client.hang_up(1002), 1002),
        (lambda replica, client: client.hang_up(4429), 4429),
    ],
    ids=["close", "gone", "failed", "stopping", "bad message", "bad frame", "too fast"],
)
async def test_a_session_is_kept_if_its_client_may_come_back(
    replica: Replica, end: Callable[[Replica, Client], None], code: int
) -> None:
    async with replica.client("a") as client:
        client.send(OPEN)
        assert (await client.next())["type"] == "session"
        await replica.stores.has_saved.wait()
        end(replica, client)
        assert await client.close_code() == code
        await client.session
    assert replica.kept == (["a"] if may_come_back(code) else [])


async def test_a_server_that_is_too_slow_lets_nobody_new_in_but_those_who_come_back(
    replica: Replica,
) -> None:
    async with replica.client("a") as first:
        token = await opened(replica, first)

    def refuse() -> None:
        raise AtCapacity("answers take 14 s now: try again in 30 s")

    replica.services = dataclasses.replace(replica.services, admit=refuse)
    async with replica.client("b") as second:
        second.send(OPEN)
        closing = await second.next()
        assert (closing["code"], closing["reason"]) == (
            1013,
            "answers take 14 s now: try again in 30 s",
        )
    async with replica.client("c") as third:
        third.send(resuming(token))
        assert (await third.next())["type"] == "session"


async def test_a_mistake_of_ours_ends_one_session_and_no_other(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event comes from the loop of the VAD, which serves all sessions."""

    def break_down(event: object, now_s: float) -> list[Any]:
        raise ZeroDivisionError

    async with replica.client("a") as broken, replica.client("b") as whole:
        for client in (broken, whole):
            client.send(OPEN)
            assert (await client.next())["type"] == "session"
        monkeypatch.setattr(broken.driver._conversation, "handle", break_down)
        broken.send(AUDIO)
        assert await broken.close_code() == 1011
        whole.send(AUDIO)
        whole.send({"type": "close"})
        assert await whole.close_code() == 1000


async def test_who_sees_the_close_frame_has_left_already(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a client with one connection could not connect again at once."""
    left = Mock()
    async with replica.client("a") as client:
        monkeypatch.setattr(client.driver._guest, "leave", left)
        client.driver.fail(AtCapacity("full"))
        assert client.gets.empty() and left.call_count == 1
        assert await client.close_code() == 1013


@pytest.mark.parametrize("task", ["read", "write"])
async def test_a_session_without_its_reader_or_writer_ends(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    """It would keep its place, deaf or mute."""
    broken = AsyncMock(side_effect=ZeroDivisionError)
    monkeypatch.setattr(f"serve_app.ingress.socket.ClientSocket.{task}", broken)
    async with replica.client("a") as client:
        async with asyncio.timeout(DEADLINE_S + 1):
            await client.session
        assert client.driver.is_over


class Spoken:
    """In the place of a `ReplyCall`: pieces, and no end."""

    def __init__(self, *pieces: Piece) -> None:
        self._pieces = list(pieces)
        self.may_begin = asyncio.Event()
        self.are_sent = asyncio.Event()
        self.cancel = Mock()

    async def next(self) -> Piece:
        await self.may_begin.wait()
        if not self._pieces:
            self.are_sent.set()
            await asyncio.Event().wait()
        return self._pieces.pop(0)


async def test_what_waits_for_a_client_that_does_not_read_was_not_heard(replica: Replica) -> None:
    reply = Spoken(*(Piece(b"\1\0", f"{word} ", 0.02) for word in ("One", "two", "three")))
    replica.services.calls.say = Mock(return_value=reply)  # type: ignore[method-assign]
    async with replica.client("a") as client:
        client.send(OPEN | {"greeting": "One two three"})
        assert (await client.next())["type"] == "session"
        assert (await client.next())["type"] == "token"
        client.reads.clear()
        reply.may_begin.set()
        await reply.are_sent.wait()
        await asyncio.sleep(0.1)  # longer than the pieces play
        client.hang_up()
        client.driver.leave()
        client.reads.set()
        await client.session
    saved = replica.stores.stores[OWN].entries["a"].record.reply
    assert saved is not None and len(saved.pieces) == 3
    assert saved.played_s == 0


async def test_a_session_that_has_had_its_time_is_not_kept(replica: Replica) -> None:
    replica.settings = TurnSettings(max_session_s=1)
    async with replica.client("a") as client:
        client.send(OPEN | {"events": ["goaway"]})
        token = (await client.next())["resume_token"]
        goaway = await client.next()
        assert (goaway["type"], goaway["final"]) == ("goaway", True)
        assert await client.close_code() == 4411
        await client.session
    assert replica.kept == []
    async with replica.client("b") as client:
        client.send({"type": "open", "resume_token": token})
        assert await client.close_code() in (4404, 4503), "4503 while the actor is young"


async def test_a_full_disk_under_the_event_log_ends_the_log_only(replica: Replica) -> None:
    event_log = Mock()
    event_log.write.side_effect = event_log.close.side_effect = OSError("no space left")
    async with replica.client("a", event_log) as client:
        client.send(OPEN)
        assert (await client.next())["type"] == "session"
        await replica.stores.has_saved.wait()
        client.send({"type": "close"})
        assert await client.close_code() == 1000
        await client.session
    assert event_log.write.call_count == event_log.close.call_count == 1
    assert replica.kept == [], "the lease ended"


async def test_a_log_quotes_neither_the_client_nor_an_error(
    replica: Replica, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client gets wrong may be its key, and what fails here may quote what was said."""
    caplog.set_level(logging.DEBUG, "serve_app")
    async with replica.client("s1") as client:
        client.send({"type": "rosebud"})
        assert await client.close_code() == 4400
    async with replica.client("s2") as client:
        client.send(OPEN)
        await client.next()

        def fails(*_: object) -> None:
            raise ValueError("rosebud")

        monkeypatch.setattr(client.driver._conversation, "handle", fails)
        client.send(AUDIO)
        assert await client.close_code() == 1011
    assert "s1 closes with 4400" in caplog.text
    assert "s2 failed" in caplog.text and "ValueError" in caplog.text
    assert "rosebud" not in caplog.text
