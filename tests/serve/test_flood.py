"""A client that floods a real server: it is slowed down, closed, and costs no memory."""

import asyncio
import json

import msgpack
import psutil
import pytest

from bench.processes import STAGES
from tests.ingress.raw_client import BINARY, OPEN, connected, frame
from tests.serve.conftest import Server

pytestmark = [pytest.mark.serve, pytest.mark.timeout(300)]

WITHIN_S = 60.0
LOOK_S = 0.1
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
    before_mib = most_mib = ingress_mib(server)
    async with connected(server.port) as client:
        client.send(OPEN)
        flooding = asyncio.create_task(client.flood(frame(BINARY, FLOODS[name])))
        closing = asyncio.create_task(client.close_code(WITHIN_S))
        while not closing.done():
            most_mib = max(most_mib, await asyncio.to_thread(ingress_mib, server))
            await asyncio.wait({closing}, timeout=LOOK_S)
        flooding.cancel()
    assert closing.result() == 4429
    assert most_mib - before_mib < MOST_MIB
    assert json.loads(server.healthz())["status"] == "ok"
    server.wait_until_idle()
