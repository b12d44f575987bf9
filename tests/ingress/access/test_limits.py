"""What an address and a key may use, and whose address it is."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import msgpack
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from serve_app.errors import AtCapacity, ProtocolViolation
from tests.ingress.access.guests import ADA, BEN, guarded, in_header, resumable
from tests.ingress.replica import (
    DEADLINE_S,
    OPEN,
    Replica,
    closing,
    is_admitted,
    next_message,
    replica,
    says,
)

pytestmark = pytest.mark.timeout(60)


def forwarded_for(*values: str) -> dict[str, Any]:
    return {"additional_headers": [("X-Forwarded-For", value) for value in values]}


ONE_EACH = {"per_address": {"connections": 1}}


async def admitted(server: Replica, how: dict[str, Any]) -> bool:
    socket = await server.call(**how)
    try:
        return await is_admitted(socket)
    except ConnectionClosed:
        code, said = socket.close_code, socket.close_reason
        assert code == 4402 and said == "this address has 1 connections: end one first"
        return False


async def nobody_is_left(server: Replica) -> None:
    """Returns when the sessions are over whose clients have gone."""
    async with asyncio.timeout(DEADLINE_S):
        while server.ingress._door.sessions:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.02)


async def test_forwarded_for_is_not_believed_unless_it_is_configured() -> None:
    async with replica(access=ONE_EACH) as server:
        assert await admitted(server, forwarded_for("10.0.0.1"))
        assert not await admitted(server, forwarded_for("10.0.0.2"))
        assert not await admitted(server, {})


async def test_of_forwarded_for_only_what_the_proxy_has_added_is_believed() -> None:
    access = {**ONE_EACH, "trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]}
    async with replica(access=access) as server:
        assert await admitted(server, forwarded_for("1.1.1.1"))
        assert not await admitted(server, forwarded_for("9.9.9.9, 1.1.1.1"))
        assert not await admitted(server, forwarded_for("9.9.9.9", "1.1.1.1"))
        assert not await admitted(server, forwarded_for("1.1.1.1, 10.2.3.4"))
        assert not await admitted(server, forwarded_for("2.2.2.2, 1.1.1.1, 10.2.3.4"))
        assert await admitted(server, forwarded_for("1.1.1.1, 2.2.2.2"))


async def test_our_own_haproxy_is_believed_without_being_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its last entry only: who writes another one before it is the same client."""
    monkeypatch.setenv("ECHO_SERVE_EDGE", "1")
    async with replica(access=ONE_EACH) as server:
        assert await admitted(server, forwarded_for("1.1.1.1"))
        assert await admitted(server, forwarded_for("2.2.2.2"))
        assert not await admitted(server, forwarded_for("9.9.9.9", "1.1.1.1"))


# --- limits ---


async def test_a_key_has_its_connections_and_a_place_is_free_once_one_has_ended(
    keys: Path,
) -> None:
    async with guarded(keys, per_principal={"connections": 1}) as server:
        first = await server.call(**in_header(ADA))
        assert await is_admitted(first)
        second = await closing(await server.call(**in_header(ADA)))
        assert second == (4402, "this key has 1 connections: end one first")
        assert await is_admitted(await server.call(**in_header(BEN)))
        await first.send(msgpack.packb({"type": "close"}))
        assert (await closing(first))[0] == 1000
        assert await is_admitted(await server.call(**in_header(ADA)))


async def test_who_comes_back_is_not_kept_out_by_its_own_lost_connection(keys: Path) -> None:
    async with guarded(keys, per_principal={"connections": 1, "sessions_a_day": 1}) as server:
        first = await server.call(**in_header(ADA), say={"resume": True})
        token = (await next_message(first, "session"))["resume_token"]
        await says(first, "Hello.")
        again = await server.call(**in_header(ADA), say={"resume_token": token})
        assert (await next_message(again, "session"))["resume_token"] != token
        assert (await closing(first))[0] == 4409


async def test_a_place_that_has_gone_to_another_is_not_there_for_who_comes_back(keys: Path) -> None:
    """Or a key would have as many conversations as it likes: begun, lost, and resumed together."""
    async with guarded(keys, per_principal={"connections": 1}) as server:
        token = await resumable(server, in_header(ADA))
        await nobody_is_left(server)
        other = await server.call(**in_header(ADA))
        assert await is_admitted(other)
        refused = await closing(await server.call(**in_header(ADA), say={"resume_token": token}))
        assert refused == (4402, "this key has 1 connections: end one first")
        await other.send(msgpack.packb({"type": "close"}))
        assert (await closing(other))[0] == 1000
        again = await server.call(**in_header(ADA), say={"resume_token": token})
        assert await next_message(again, "session"), "the refusal has not cost it its session"
        assert (await closing(await server.call(**in_header(ADA))))[0] == 4402


async def test_who_fails_to_take_a_place_over_leaves_it_to_its_owner(keys: Path) -> None:
    async with guarded(keys, per_principal={"connections": 1}) as server:
        first = await server.call(**in_header(ADA), say={"resume": True})
        token = (await next_message(first, "session"))["resume_token"]
        await says(first, "Hello.")
        wrong = f"{token.partition('.')[0]}.wrong"
        thief = await server.call(**in_header(ADA), say={"resume_token": wrong})
        assert (await closing(thief))[0] == 4404
        assert (await closing(await server.call(**in_header(ADA))))[0] == 4402
        await first.send(msgpack.packb({"type": "close"}))
        assert (await closing(first))[0] == 1000


async def test_who_is_refused_by_one_limit_has_used_nothing_of_another(keys: Path) -> None:
    limits: dict[str, Any] = {"per_principal": {"sessions_a_day": 2}, **ONE_EACH}
    async with guarded(keys, **limits) as server:
        first = await server.call(**in_header(ADA))
        assert await is_admitted(first)
        for _ in range(3):
            code, said = await closing(await server.call(**in_header(ADA)))
            assert (code, said) == (4402, "this address has 1 connections: end one first")
        await first.send(msgpack.packb({"type": "close"}))
        assert (await closing(first))[0] == 1000
        assert await is_admitted(await server.call(**in_header(ADA)))


async def test_who_finds_no_place_has_used_none_of_its_sessions(keys: Path) -> None:
    access = {"keys_file": str(keys), "per_principal": {"sessions_a_day": 1}}
    async with replica(access=access, ingress={"max_sessions": 1}) as server:
        ada = await connect(server.url, proxy=None, **in_header(ADA))  # while there is a place
        ben = await server.call(**in_header(BEN))
        assert await is_admitted(ben)
        await ada.send(msgpack.packb(OPEN))
        assert await closing(ada) == (1013, "all sessions are taken: try again later")
        await ben.send(msgpack.packb({"type": "close"}))
        assert (await closing(ben))[0] == 1000
        assert await is_admitted(await server.call(**in_header(ADA)))


@pytest.mark.parametrize(
    "refuses",
    [
        {"admit": Mock(side_effect=AtCapacity("answers take 14 s now"))},
        {"check": AsyncMock(side_effect=ProtocolViolation("no such voice"))},
    ],
    ids=["slow answers", "a wrong option"],
)
async def test_who_is_refused_for_another_reason_has_used_none_of_its_sessions(
    keys: Path, refuses: dict[str, Any]
) -> None:
    async with guarded(keys, per_principal={"sessions_a_day": 1}) as server:
        ingress, services = server.ingress, server.ingress._services
        ingress._services = replace(services, **refuses)
        assert (await closing(await server.call(**in_header(ADA))))[0] in (1013, 4400)
        ingress._services = services
        assert await is_admitted(await server.call(**in_header(ADA)))


async def test_a_key_has_its_sessions_a_day(keys: Path) -> None:
    async with guarded(keys, per_principal={"sessions_a_day": 2}) as server:
        server.now_s = 1_800_000_000.0
        for _ in range(2):
            assert await is_admitted(await server.call(**in_header(ADA)))
        code, said = await closing(await server.call(**in_header(ADA)))
        assert code == 4402
        assert said == (
            "the 2 sessions a day of this key are used up: there are more at 2027-01-16T00:00:00Z"
        )
        server.now_s += 86_400
        assert await is_admitted(await server.call(**in_header(ADA)))


async def test_the_minutes_of_a_day_end_a_session(keys: Path) -> None:
    async with guarded(keys, per_principal={"minutes_a_day": 10}) as server:
        server.now_s = 1_800_000_000.0
        socket = await server.call(**in_header(ADA))
        assert await is_admitted(socket)
        server.now_s += 600
        code, said = await closing(socket)
        assert code == 4402 and said.startswith("the 10 minutes a day of this key are used up")
        assert (await closing(await server.call(**in_header(ADA))))[0] == 4402
        server.now_s += 86_400
        assert await is_admitted(await server.call(**in_header(ADA)))
