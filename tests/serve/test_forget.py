"""What is kept of a session, removed by its owner; and headers of Serve's that a client sends."""

import asyncio
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgpack
import pytest
from redis import Redis
from websockets.asyncio.client import connect

from serve_app.client.session import EchoSession, converse
from serve_app.protocol.formats import parse_format
from tests.redis_server import redis_server
from tests.serve.conftest import ROOT, Server, config_with, echo_serve, free_port, running_server
from tests.serve.test_sessions import ending

pytestmark = [
    pytest.mark.serve,
    pytest.mark.models,
    # tests/local/test_forget.py has the logs, tests/sessions/test_store.py and test_checkpoints.py
    # what is erased, tests/ingress/test_serve_headers.py the headers.
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


@dataclass
class Kept:
    """A server that keeps sessions wherever it can."""

    server: Server
    config: Path
    redis: "Redis[bytes]"
    redis_url: str
    logs: Path

    def in_redis(self) -> set[str]:
        return {key.decode().rpartition(":")[2] for key in self.redis.keys("echo-serve:*")}

    def in_logs(self) -> set[str]:
        return {log.name.partition(".")[0] for log in self.logs.iterdir()}

    def in_actors(self) -> set[str]:
        return set(self.server.ask("ask_sessions"))

    def forget(self, session: str) -> str:
        command = echo_serve("forget", session)
        result = subprocess.run(
            [*command, "--config", str(self.config), "--address", self.server.ray_address],
            cwd=ROOT,
            env={**os.environ, "ECHO_REDIS_URL": self.redis_url},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("kept")
    port, logs = free_port(), folder / "logs"
    config = config_with(folder, port, ingress={"event_log_dir": str(logs)})
    with (
        redis_server() as (_, url),
        running_server(config, port, {"ECHO_REDIS_URL": url}) as server,
        Redis.from_url(url) as redis,
    ):
        yield Kept(server, config, redis, url, logs)


async def _turn(session: EchoSession) -> None:
    await session.send({"type": "text", "text": "What is two plus two?"})
    while (await session.next("transcript")).fields["role"] != "agent":
        pass


async def test_a_session_is_forgotten_and_others_are_not(kept: Kept) -> None:
    pcm = parse_format("pcm_44100")
    async with (
        converse(kept.server.url, pcm, resume=True) as mine,
        converse(kept.server.url, pcm, resume=True) as other,
    ):
        tokens = []
        for session in (mine, other):
            await session.open("Be brief.", ["transcript"], greeting=False)
            tokens.append((await session.next("session")).fields["resume_token"])
            await _turn(session)
        await mine.lose_connection()
        tokens[0] = (await mine.next("session")).fields["resume_token"]
        await _turn(mine)
        name, others = (token.partition(".")[0] for token in tokens)
        for places in (kept.in_actors, kept.in_redis, kept.in_logs):
            assert await asyncio.to_thread(places) == {name, others}
        texts = [log.read_text() for log in kept.logs.glob(f"{name}*")]
        assert len(texts) == 2 and all("two plus two" in text for text in texts)
        assert not any(token.partition(".")[2] in text for token in tokens for text in texts)

        told = await asyncio.to_thread(kept.forget, tokens[0])
        assert f"session {name}\n" in told and tokens[0] not in told
        assert "session actors  removed from sessions-0" in told
        assert "Redis           removed" in told
        assert told.count(".jsonl") == 2
        async with asyncio.timeout(10):
            await mine.listener
        assert mine.close_code == 4409
        assert (await ending(kept.server, tokens[0]))[0] == 4404
        for places in (kept.in_actors, kept.in_redis):
            assert await asyncio.to_thread(places) == {others}
        assert not list(kept.logs.glob(f"{name}*"))
        assert list(kept.logs.glob(f"{others}*"))

        told = await asyncio.to_thread(kept.forget, name)
        assert "removed" not in told
        await _turn(other)


STEERING = {
    "x-request-timeout-seconds": "0.001",
    "x-request-disconnect-disabled": "?1",
    "x-request-id": "mine",
    "x-session-id": "mine",
    "serve_multiplexed_model_id": "mine",
}


async def test_headers_of_serves_that_a_client_sends_change_nothing(kept: Kept) -> None:
    """Serve would end the request after 1 ms, and show the client's word in its logs."""
    async with connect(kept.server.url, additional_headers=STEERING, max_size=None) as socket:
        opening = {"type": "open", "prompt": "", "greeting": False, "events": ["transcript"]}
        await socket.send(msgpack.packb(opening))
        await socket.send(msgpack.packb({"type": "text", "text": "What is two plus two?"}))
        async with asyncio.timeout(60):
            while msgpack.unpackb(await socket.recv()).get("role") != "agent":
                pass
    assert await asyncio.to_thread(_request_id, kept.server) not in ("", "mine")


def _request_id(server: Server) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/healthz", headers=STEERING)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.headers["x-request-id"])
