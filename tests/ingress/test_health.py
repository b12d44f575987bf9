"""`/healthz` says to strangers only that the replica is well. Its own machine it tells more."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import msgpack
import pytest
from websockets.asyncio.client import connect

from serve_app.ingress.health import is_of_this_machine
from tests.ingress.replica import DEADLINE_S, Replica, is_admitted, replica

OURS = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "ECHO_SERVE_EDGE": "1"}
SERVES = {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
PYTHONS: dict[str, str] = {}


@pytest.mark.parametrize(
    "peer, forwarded_for, env, is_here",
    [
        ("127.0.0.1", ["127.0.0.1"], OURS, True),
        ("127.0.0.1", ["192.0.2.7"], OURS, False),
        # What a stranger has sent comes before what HAProxy says.
        ("127.0.0.1", ["127.0.0.1", "192.0.2.7"], OURS, False),
        # A proxy on this machine stands for strangers.
        ("127.0.0.1", ["192.0.2.7, 127.0.0.1"], OURS, False),
        ("127.0.0.1", ["nobody", "127.0.0.1"], OURS, False),
        ("127.0.0.1", [], OURS, False),
        ("127.0.0.1", [], SERVES, False),
        ("127.0.0.1", ["127.0.0.1"], SERVES, False),
        ("127.0.0.1", [], PYTHONS, True),
        ("::1", [], PYTHONS, True),
        ("192.0.2.7", [], PYTHONS, False),
        ("192.0.2.7", ["127.0.0.1"], PYTHONS, False),
        ("", [], PYTHONS, False),
    ],
)
def test_who_is_of_this_machine(
    peer: str, forwarded_for: Sequence[str], env: Mapping[str, str], is_here: bool
) -> None:
    assert is_of_this_machine(peer, forwarded_for, env) is is_here


async def counted(server: Replica) -> tuple[int, int]:
    """Sessions, and sockets that wait."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        health: dict[str, Any] = (await http.get(f"http://{server.address}/healthz")).json()
    return health["sessions"], health["waiting"]


async def until_counted(server: Replica, sessions: int, waiting: int) -> None:
    """What the server has seen of a socket is not known to its client at once."""
    async with asyncio.timeout(DEADLINE_S):
        while await counted(server) != (sessions, waiting):  # noqa: ASYNC110 - it has to be asked
            await asyncio.sleep(0.02)


async def test_a_socket_that_waits_is_no_session() -> None:
    async with replica() as server:
        async with connect(server.url, proxy=None), connect(server.url, proxy=None):
            await until_counted(server, 0, 2)
            talking = await server.call()
            assert await is_admitted(talking)
            assert await counted(server) == (1, 2)
        await until_counted(server, 1, 0)
        await talking.send(msgpack.packb({"type": "close"}))
        await until_counted(server, 0, 0)


async def test_a_session_counts_until_all_of_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits until there is none finds that nothing of it goes on."""
    is_ending, may_end = asyncio.Event(), asyncio.Event()
    async with replica() as server:
        leases = server.ingress._services.leases
        end = leases.end

        async def ends_late(*args: Any) -> None:
            is_ending.set()
            await may_end.wait()
            await end(*args)

        monkeypatch.setattr(leases, "end", ends_late)
        socket = await server.call(say={"resume": True})
        assert await is_admitted(socket)
        await socket.close()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await is_ending.wait()
            assert await counted(server) == (1, 0)
        finally:
            may_end.set()
        await until_counted(server, 0, 0)
