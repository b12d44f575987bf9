"""That the web server of Serve has the bounds of `serve_app/ingress/guarded_socket.py`: Serve has
no setting for them, and another version may start uvicorn in another way."""

import pytest
from websockets.asyncio.client import connect

from tests.ingress.floods import FLOODS
from tests.ingress.raw_client import OPEN, PING, connected, frame
from tests.serve.conftest import Server

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]


async def test_a_flood_of_pings_is_closed_and_the_call_beside_it_is_not(server: Server) -> None:
    async with connect(server.url) as other, connected(server.port) as hostile:
        hostile.send(OPEN + FLOODS["pings"])
        assert await hostile.close_code() == 4429
        await (await other.ping())


async def test_sockets_without_an_open_take_no_place(server: Server) -> None:
    """The server has room for three."""
    async with (
        connect(server.url),
        connect(server.url),
        connect(server.url),
        connected(server.port) as last,
    ):
        last.send(OPEN + frame(PING, b"are you there?"))
        assert (await last.next()).data == b"are you there?"
