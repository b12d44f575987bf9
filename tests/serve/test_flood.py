"""A client that floods a real server: it is slowed down, closed, and costs no memory."""

import asyncio
import json

import msgpack
import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bench.processes import STAGES
from tests.serve.conftest import Server

pytestmark = [pytest.mark.serve, pytest.mark.timeout(300)]

_MIB = 1 << 20
MOST_MIB = 60
"""What one client may add to the memory of an ingress replica while it floods it. It was 859 with
texts: the replica had a call to the agent, with all that was typed, for each of them."""
FLOODS = {
    "texts": msgpack.packb({"type": "text", "text": "word " * 6553}),
    "audio": msgpack.packb({"type": "audio", "audio": bytes(64_000)}),
    "opens": msgpack.packb({"type": "open", "prompt": "x" * 32_000}),
}


def ingress_mib(server: Server) -> float:
    processes = psutil.Process(server.process.pid).children(recursive=True)
    of_ingress = [p for p in processes if STAGES["ingress"] in " ".join(p.cmdline())]
    assert of_ingress, "no ingress replica"
    return sum(process.memory_info().rss for process in of_ingress) / _MIB


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_is_closed_and_costs_no_memory(server: Server, name: str) -> None:
    server.wait_until_idle()
    before_mib, most_mib, sent = ingress_mib(server), 0.0, 0
    async with connect(server.url, compression=None) as socket:
        await socket.send(msgpack.packb({"type": "open", "prompt": "", "greeting": False}))
        with pytest.raises(ConnectionClosed):
            while True:
                await socket.send(FLOODS[name])
                sent += 1
                if sent % 20 == 0:
                    # In a thread, or this client would not read why it is closed.
                    most_mib = max(most_mib, await asyncio.to_thread(ingress_mib, server))
        assert socket.close_code == 4429, socket.close_reason
    assert most_mib - before_mib < MOST_MIB
    assert json.loads(server.healthz())["status"] == "ok"
    server.wait_until_idle()
