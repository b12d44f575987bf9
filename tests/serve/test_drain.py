"""A server that is stopped under a live conversation."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError

from bench import providers
from serve_app.client.session import converse
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import EVENTS
from tests.serve.conftest import config_with, free_port, running

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]

PERIOD_S = 8


async def test_a_turn_is_finished_before_the_server_stops(tmp_path: Path) -> None:
    port = free_port()
    command = [
        sys.executable, "-m", "serve_app.cli", "run", "--config", str(config_with(tmp_path, port)),
    ]  # fmt: skip
    with providers.provided() as environment:
        environment["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = str(PERIOD_S)
        server = running(command, port, "Ctrl-C stops the server", environment)
        started = await asyncio.to_thread(server.__enter__)
        try:
            async with converse(started.url, parse_format("pcm_44100")) as session:
                await session.open("Be kind.", EVENTS, greeting=False)
                await session.send({"type": "text", "text": "May I ask you something?"})
                await session.next("audio")
                started.process.send_signal(signal.SIGINT)
                left_ms = (await session.next("goaway")).fields["time_left_ms"]
                said = await session.next("transcript", timeout_s=PERIOD_S)
                async with asyncio.timeout(PERIOD_S):
                    with pytest.raises(ConnectionClosedError, match="connect again"):
                        await session.listener
                assert (left_ms, session.close_code) == (PERIOD_S * 1000, 1012)
                assert said.fields["text"] == providers.ANSWER, "not cut off"
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)
