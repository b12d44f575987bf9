"""The session actors of a running server, asked directly."""

import asyncio
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from serve_app.client.session import converse
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import EVENTS
from tests.serve.conftest import ROOT, Server

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]


def recorded(server: Server) -> Any:
    address = re.search(r"Ray is at (\S+),", server.output)
    assert address
    answer = subprocess.run(
        [sys.executable, "-m", "tests.serve.ask_sessions", address[1]],
        cwd=ROOT,
        env={**os.environ, "RAY_AUTH_MODE": "token"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


async def test_a_session_is_recorded_until_it_ends(server: Server) -> None:
    server.wait_until_idle()
    async with converse(server.url, parse_format("pcm_44100")) as session:
        await session.open("Be brief.", EVENTS)
        greeting = (await session.next("transcript")).fields["text"]
        await session.next("state")
        (record,) = (await asyncio.to_thread(recorded, server)).values()
    assert [(m["role"], m["content"]) for m in record["history"]] == [
        ("system", "Be brief."),
        ("user", "Hello!"),
        ("assistant", greeting),
    ]
    assert record["tokens_issued"] == 1
    server.wait_until_idle()
    assert await asyncio.to_thread(recorded, server) == {}
