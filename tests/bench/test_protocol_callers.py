"""What callers of `make bench-protocols` do when the server hangs up."""

import asyncio

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.protocol_callers import PROTOCOLS, Calling


async def hang_up(socket: ServerConnection) -> None:
    """Once there is audio: a telephone call says two things before it."""
    for _ in range(3):
        await socket.recv()
    await socket.close(1011)


@pytest.mark.parametrize("calling", PROTOCOLS.values(), ids=PROTOCOLS)
async def test_a_call_that_ends_early_is_an_error(calling: Calling) -> None:
    """It was waited for without end."""
    async with serve(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ExceptionGroup) as error:
            async with asyncio.timeout(10), calling(f"127.0.0.1:{port}", "Be brief.") as caller:
                await caller.say(np.zeros(16_000, np.float32))
        assert error.group_contains(ConnectionClosed)
