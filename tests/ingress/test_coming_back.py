"""Clients that come back: which token opens a session, and for how long."""

import asyncio
from typing import Any

import pytest

from serve_app.sessions.leases import Lease
from tests.ingress.driven import AUDIO, DEADLINE_S, OPEN, Replica, opened, resuming
from tests.sessions.stores import OWN


async def test_an_owner_that_is_superseded_leaves_the_session_to_the_new_one(
    replica: Replica,
) -> None:
    async with replica.client("a") as first, replica.client("b") as second:
        first.send(OPEN)
        notice = await first.next()
        await replica.stores.has_saved.wait()
        second.send({"type": "open", "resume_token": notice["resume_token"]})
        assert (await second.next())["type"] == "session"
        assert await first.close_code() == 4409
        await first.session
        assert replica.kept == ["a"]


# --- two phases: a token ends when its successor has arrived ---


async def end_of_the_former_token(replica: Replica) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while replica.stores.stores[OWN].entries["a"].former_hash:
            replica.stores.has_saved.clear()
            await replica.stores.has_saved.wait()


async def test_two_phases_a_connection_that_breaks_before_session_arrives_loses_nothing(
    replica: Replica,
) -> None:
    async with replica.client("a") as client:
        token = await opened(replica, client)
    async with replica.client("b") as broken, replica.client("c") as client:
        broken.send(resuming(token))
        assert (await broken.next())["type"] == "session", "which does not arrive"
        client.send(resuming(token))
        assert (await client.next())["type"] == "session"
        assert await broken.close_code() == 4409, "the newcomer has it"
        client.send(AUDIO)
        await end_of_the_former_token(replica)
    assert replica.kept == ["a"]
    async with replica.client("d") as late:
        late.send(resuming(token))
        assert await late.close_code() == 4404


async def test_two_phases_the_first_message_after_session_ends_the_former_token(
    replica: Replica,
) -> None:
    async with replica.client("a") as client:
        token = await opened(replica, client)
    async with replica.client("b") as second, replica.client("c") as third:
        second.send(resuming(token))
        assert (await second.next())["type"] == "session"
        second.send({"type": "state", "state": "waiting"})
        await end_of_the_former_token(replica)
        third.send(resuming(token))
        assert await third.close_code() == 4404
        second.send({"type": "close"})
        assert await second.close_code() == 1000


async def test_two_phases_what_was_sent_before_session_proves_nothing(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message was in the socket before the server had written `session` to it."""
    async with replica.client("a") as client:
        token = await opened(replica, client)
    async with replica.client("b") as client:
        written, may_write, heard = asyncio.Event(), asyncio.Event(), asyncio.Event()
        listen = Lease.heard_from_client
        monkeypatch.setattr(Lease, "heard_from_client", lambda lease: (listen(lease), heard.set()))

        async def slow(message: Any) -> None:
            written.set()
            await may_write.wait()
            await client.gets.put(message)

        client.driver._socket._socket._send = slow
        client.send(resuming(token))
        client.send({"type": "played", "token": "", "played_ms": 0})
        async with asyncio.timeout(DEADLINE_S):
            await written.wait()
            await heard.wait()
        assert client.driver._lease is not None and client.driver._lease.entry.former_hash
        may_write.set()
        assert (await client.next())["type"] == "session"
        client.send({"type": "played", "token": "", "played_ms": 0})
        await end_of_the_former_token(replica)


# --- the window ---


@pytest.mark.parametrize(("away_s", "code"), [(58, None), (61, 4404)])
async def test_the_window_counts_from_when_the_server_notices_the_loss(
    replica: Replica, away_s: float, code: int | None
) -> None:
    """A client that is frozen for 70 s, with a socket that nobody closes, is not lost yet."""
    async with replica.client("a") as frozen:
        token = await opened(replica, frozen)
        for _ in range(70):
            replica.stores.now_s += 1.0
            await replica.services.leases._renew()
        frozen.hang_up()
        await frozen.session
    replica.stores.now_s += away_s
    async with replica.client("b") as client:
        client.send(resuming(token))
        if code is None:
            assert (await client.next())["type"] == "session"
        else:
            assert await client.close_code() == code
