"""Clients that mean harm below the level of messages, at the real ingress and the real web server:
each is closed with a documented code or cut off, and nobody else notices."""

import asyncio

import pytest

from serve_app.settings.schema import AppConfig
from tests.ingress.floods import FLOODS
from tests.ingress.raw_client import (
    BINARY,
    CONT,
    DEADLINE_S,
    OPEN,
    PING,
    PONG,
    SMALL,
    RawClient,
    connected,
    frame,
    memory_mib,
    message,
)  # fmt: skip
from tests.ingress.real_ingress import RealIngress, serving

BYE = message(type="close")
SOON = {"close_s": 0.2}
EVERY = FLOODS | {
    "empty messages": frame(BINARY) * 10_000,
    "messages in parts of a byte": (
        frame(BINARY, b"\x80", fin=False) + frame(CONT, b"a", fin=False) * 200 + frame(CONT)
    )
    * 20,
    "long messages": frame(BINARY, bytes(1 << 20)) * 10,
}
ALLOWED = {"empty messages": 1007, "messages in parts of a byte": 1007, "long messages": 1007}
"""Each message is wrong as well, which may be found first."""


async def talks(client: RawClient) -> None:
    """Returns when what the client has sent is taken."""
    client.send(frame(PING, b"are you there?"))
    while (await client.next()).opcode != PONG:
        pass


async def alone(server: RealIngress, sockets: int) -> None:
    """Returns when the server holds no more sockets than these."""
    async with asyncio.timeout(DEADLINE_S):
        while server.sockets > sockets:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("flood", EVERY)
@pytest.mark.parametrize("begin", [b"", OPEN], ids=["before open", "after open"])
async def test_a_flood_ends_with_its_code_and_nobody_else_does(flood: str, begin: bytes) -> None:
    async with serving(socket=SOON) as server, connected(server.port) as other:
        other.send(OPEN)
        await talks(other)
        async with connected(server.port) as hostile:
            hostile.send(begin)
            flooding = asyncio.create_task(hostile.flood(EVERY[flood]))
            assert await hostile.close_code() in {4429, ALLOWED.get(flood)}
            await talks(other)
            await asyncio.wait_for(flooding, DEADLINE_S)
        await alone(server, 1)
        other.send(BYE)
        assert await other.close_code() == 1000


async def test_a_flood_costs_no_more_than_its_budget() -> None:
    """Of 40,000 pings that are here at once, those within the budget are worked on."""
    async with serving(socket={"control_frames": 7}) as server, connected(server.port) as hostile:
        hostile.send(frame(PING) * 40_000)
        pongs = 0
        while (got := await hostile.next()).opcode == PONG:
            pongs += 1
        assert got.close_code == 4429
        assert pongs <= 7


@pytest.mark.parametrize("flood", ["pings", "pings with a payload", "empty continuation frames"])
async def test_one_that_floods_and_does_not_read_is_cut_off(flood: str) -> None:
    async with serving(socket=SOON) as server:
        before_mib = memory_mib()
        async with connected(server.port, buffer_bytes=SMALL) as hostile:
            hostile.send(OPEN)
            async with asyncio.timeout(DEADLINE_S):
                await hostile.flood(FLOODS[flood])
            await alone(server, 0)
        assert memory_mib() - before_mib < 32


async def test_a_message_without_end_has_an_end() -> None:
    """However slowly its parts come."""
    async with serving(socket={"fragments": 16}) as server, connected(server.port) as hostile:
        hostile.send(frame(BINARY, b"a", fin=False))
        for _ in range(20):
            hostile.send(frame(CONT, fin=False))
        assert await hostile.close_code() == 4429


async def test_a_client_that_was_held_up_is_no_flood() -> None:
    """Its network let nothing through for half a minute, in which it has made pieces of 8 ms."""
    piece = message(type="state", state="waiting")
    async with serving() as server, connected(server.port) as client:
        client.send(OPEN + piece * 3_900)
        await talks(client)
        client.send(BYE)
        assert await client.close_code() == 1000


# --- sockets that do not open ---


async def test_sockets_without_an_open_take_no_place() -> None:
    async with serving(max_sessions=2, socket={"waiting_of_address": 200}) as server:
        idle = [await enter(connected(server.port)) for _ in range(100)]
        async with connected(server.port) as one, connected(server.port) as two:
            for client in (one, two):
                client.send(OPEN)
                await talks(client)
            idle[0][1].send(OPEN)
            assert await idle[0][1].close_code() == 1013, "all places are taken"
            one.send(BYE)
            assert await one.close_code() == 1000
            idle[1][1].send(OPEN)
            await talks(idle[1][1])
        for context, _ in idle:
            await context.__aexit__(None, None, None)
        await alone(server, 0)


async def enter(context):  # type: ignore[no-untyped-def]
    return context, await context.__aenter__()


async def test_who_has_waited_longest_makes_room_and_no_session_does() -> None:
    async with (
        serving(socket={"waiting_of_address": 2}) as server,
        connected(server.port) as session,
    ):
        session.send(OPEN)
        await talks(session)
        async with (
            connected(server.port) as first,
            connected(server.port) as second,
            connected(server.port) as third,
        ):
            await makes_room(session, first, [second, third])


async def makes_room(session: RawClient, first: RawClient, others: list[RawClient]) -> None:
    assert await first.close_code() == 1013
    for client in others:
        client.send(OPEN)
        await talks(client)
    await talks(session)


async def test_who_has_left_waits_no_longer() -> None:
    async with (
        serving(socket={"waiting_of_address": 2}) as server,
        connected(server.port) as first,
        asyncio.timeout(DEADLINE_S),
    ):
        for _ in range(3):
            async with connected(server.port):
                pass
            while server.ingress._door.waiting > 1:  # noqa: ASYNC110 - nobody is told of it
                await asyncio.sleep(0.02)
        first.send(OPEN)
        await talks(first)


async def test_at_a_full_replica_nobody_new_may_wait() -> None:
    async with serving(max_sessions=1) as server, connected(server.port) as session:
        session.send(OPEN)
        await talks(session)
        async with connected(server.port) as late:
            assert await late.close_code() == 1013
        await talks(session)


async def test_a_page_may_wait_for_an_hour_before_somebody_clicks() -> None:
    assert AppConfig().ingress.open_timeout_s == 3600
    async with serving(open_timeout_s=0.05) as server, connected(server.port) as client:
        assert await client.close_code() == 4408


# --- clients that do not read ---


async def test_one_that_answers_no_ping_is_told_what_it_did() -> None:
    """uvicorn said 1011: a failure of the server."""
    async with serving(ping_s=0.05) as server, connected(server.port) as client:
        client.send(OPEN)
        assert await client.close_code() == 4508
        await alone(server, 0)
