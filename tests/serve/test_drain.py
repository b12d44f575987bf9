"""Servers that are stopped during a live conversation."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError

from bench import providers
from bench.chaos_faults import update
from bench.chaos_stage import redis_server
from serve_app.client.session import converse
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import EVENTS
from tests.serve.conftest import Server, config_with, free_port, running_server
from tests.serve.test_conversation import said
from tests.serve.test_sessions import recorded

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]

PERIOD_S = 8
FORMAT = parse_format("pcm_44100")


@asynccontextmanager
async def serving(
    folder: Path, port: int, environment: Mapping[str, str], replicas: int = 1
) -> AsyncIterator[Server]:
    several = {"replicas": replicas}
    ingress = several | {"drain_timeout_s": PERIOD_S}
    config = config_with(folder, port, ingress=ingress, vad=several, agent=several)
    server = running_server(config, port, environment)
    started = await asyncio.to_thread(server.__enter__)
    try:
        yield started
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


# The quicker one: the same test with HAProxy.
@pytest.mark.parametrize("haproxy", ["1", pytest.param("0", marks=pytest.mark.slow)])
async def test_a_turn_is_finished_before_the_server_stops(tmp_path: Path, haproxy: str) -> None:
    port = free_port()
    with providers.provided() as environment:
        environment["RAY_SERVE_ENABLE_HA_PROXY"] = haproxy
        environment["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = str(PERIOD_S)
        async with (
            serving(tmp_path, port, environment) as server,
            converse(server.url, FORMAT) as session,
        ):
            await session.open("Be kind.", EVENTS, greeting=False)
            await session.send({"type": "text", "text": "May I ask you something?"})
            await session.next("audio")
            server.process.send_signal(signal.SIGINT)
            left_ms = (await session.next("goaway")).fields["time_left_ms"]
            assert await said(session, "agent") == providers.ANSWER, "not cut off"
            async with asyncio.timeout(PERIOD_S):
                with pytest.raises(ConnectionClosedError, match="connect again"):
                    await session.listener
            assert (left_ms, session.close_code) == (PERIOD_S * 1000, 1012)


@pytest.mark.slow  # tests/sessions/test_actors.py has the move, without Ray; no update is quicker
async def test_an_update_keeps_a_conversation_without_a_redis(tmp_path: Path) -> None:
    """The new replicas take it over from the actors of the old version."""
    port = free_port()
    with providers.provided() as environment:
        environment["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = str(PERIOD_S)
        async with (
            serving(tmp_path, port, environment, replicas=2) as server,
            converse(server.url, FORMAT, resume=True) as session,
            asyncio.TaskGroup() as group,
        ):
            await session.open("Be kind.", EVENTS, greeting=False)
            updating = group.create_task(update(server, tmp_path / "serve.yaml", environment))
            typed: list[str] = []
            while not updating.done():
                typed.append(f"Question {len(typed)}.")
                await session.send({"type": "text", "text": typed[-1]})
                assert await said(session, "user") == typed[-1]
                await said(session, "agent")
            (record,) = (await asyncio.to_thread(recorded, server)).values()
    asked = [m["content"] for m in record["history"] if m["role"] == "user"]
    assert asked == typed
    assert session.resumes >= 1


@pytest.mark.skipif(not shutil.which("redis-server"), reason="apt-get install redis-server")
# tests/sessions/test_actors.py and test_checkpoints.py have the move by Redis, without a server.
@pytest.mark.slow
async def test_a_conversation_moves_to_another_cluster(tmp_path: Path) -> None:
    """The two share only a Redis, and the address that clients know."""
    port = free_port()
    with providers.provided() as environment, redis_server() as redis:
        assert redis is not None
        environment |= {
            "ECHO_REDIS_URL": redis[1],
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(PERIOD_S),
        }
        async with serving(tmp_path, port, environment) as server:
            conversation = converse(server.url, FORMAT, resume=True)
            session = await conversation.__aenter__()
            await session.open("Be kind.", EVENTS, greeting=False)
            await session.send({"type": "text", "text": "May I ask you something?"})
            await session.next("audio")
            server.process.send_signal(signal.SIGINT)
            assert await said(session, "agent") == providers.ANSWER
        async with serving(tmp_path, port, environment):
            await session.send({"type": "text", "text": "And something else?"})
            assert await said(session, "user") == "And something else?"
            assert await said(session, "agent") == providers.ANSWER
            await conversation.__aexit__(None, None, None)
    assert session.resumes == 1
