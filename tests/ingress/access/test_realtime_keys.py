"""Where a client of OpenAI's Realtime protocol says who it is."""

from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from serve_app.access.credentials import SUBPROTOCOL
from tests.ingress.access.guests import ADA, guarded
from tests.ingress.realtime_caller import calling
from tests.protocol.realtime.said import event

pytestmark = pytest.mark.timeout(60)


async def test_a_key_is_taken_from_the_header_and_a_wrong_one_is_told_so(keys: Path) -> None:
    async with guarded(keys) as server:
        async with calling(server.address, ADA) as caller:
            await caller.until("session.created")
        async with calling(server.address, "wrong") as caller:
            error = (await caller.until("error"))["error"]
            assert error["code"] == "invalid_api_key"
            assert "session.created" not in caller.types
            with pytest.raises(ConnectionClosed) as closed:
                await caller.until("nothing")
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401


async def test_without_a_key_nothing_is_said_of_the_session(keys: Path) -> None:
    async with guarded(keys) as server:
        url = f"ws://{server.address}/v1/realtime"
        async with connect(url, proxy=None) as socket:
            assert event(await socket.recv())["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("offered", [["realtime"], [SUBPROTOCOL, "realtime"]])
async def test_a_browser_sends_its_key_as_a_subprotocol(keys: Path, offered: list[str]) -> None:
    async with guarded(keys) as server:
        url = f"ws://{server.address}/v1/realtime"
        protocols: Any = [*offered, f"openai-insecure-api-key.{ADA}"]
        async with connect(url, proxy=None, subprotocols=protocols) as socket:
            assert socket.subprotocol == offered[0]
            assert event(await socket.recv())["type"] == "session.created"
