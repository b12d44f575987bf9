"""Answers that a client causes: as long as it likes, and it need not read them."""

import asyncio
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress

import pytest

from serve_app.ingress.outbox import MOST_BYTES
from tests.ingress.raw_client import DEADLINE_S, SMALL, TEXT, connected, frame
from tests.ingress.real_ingress import serving

_LONG = {"instructions": "\x01" * (32 << 10)}
"""In JSON it has six times as many bytes."""
_OTHERS = 4 << 20
"""What the web server and the test itself need."""


def update(session: dict[str, str]) -> bytes:
    return frame(TEXT, json.dumps({"type": "session.update", "session": session}).encode())


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("is_reading", [True, False], ids=["read", "not read"])
async def test_short_messages_with_long_answers_cost_no_more_than_long_ones(
    is_reading: bool,
) -> None:
    """Each of these has 40 bytes, and its answer 200,000: all of them 200 MB."""
    async with (
        serving(socket={"close_s": 0.2}) as server,
        connected(server.port, "/v1/realtime", 0 if is_reading else SMALL) as client,
    ):
        client.send(update(_LONG) + update({}) * 1022)
        if is_reading:
            assert await client.close_code() == 4429
        else:
            async with asyncio.timeout(DEADLINE_S):
                while server.sockets:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.02)
        _, most = tracemalloc.get_traced_memory()
    assert most < MOST_BYTES + _OTHERS


async def test_a_client_that_sets_up_its_session_again_and_again_does_not_wait() -> None:
    session = {"instructions": "You are kind. " * 500}
    async with serving() as server, connected(server.port, "/v1/realtime") as client:
        client.send(update(session) * 100)
        async with asyncio.timeout(2):
            for _ in range(101):
                assert (await client.next()).opcode == TEXT
        client.hang_up()
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await client.next()
