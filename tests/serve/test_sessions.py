"""The session actors of a running server, asked directly."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import ray

from serve_app.client.session import converse
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import EVENTS
from tests.serve.conftest import Server

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]


@pytest.fixture
def store(server: Server) -> Iterator[Any]:
    """A handle to the only session actor."""
    address = re.search(r"Ray is at (\S+),", server.output)
    assert address
    ray.init(address=address[1], namespace="serve", log_to_driver=False, logging_level="error")
    try:
        names = [a["name"] for a in ray.util.list_named_actors(all_namespaces=True)]
        (name,) = (name for name in names if name.endswith("sessions-0"))
        yield ray.get_actor(name, namespace="serve")
    finally:
        ray.shutdown()


async def test_a_session_is_recorded_until_it_ends(server: Server, store: Any) -> None:
    async with converse(server.url, parse_format("pcm_44100")) as session:
        await session.open("Be brief.", EVENTS)
        greeting = (await session.next("transcript")).fields["text"]
        await session.next("state")
        (name,) = await store.sessions.remote()
        assert json.loads(server.healthz())["sessions"] == 1
        record = await store.load.remote(name)
    assert [(m.role, m.content) for m in record.history] == [
        ("system", "Be brief."), ("user", "Hello!"), ("assistant", greeting),
    ]  # fmt: skip
    assert record.tokens_issued == 1
    server.wait_until_idle()
    assert await store.sessions.remote() == []
