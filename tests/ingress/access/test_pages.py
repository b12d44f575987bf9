"""Web pages: the check of `Origin`."""

from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from tests.ingress.access.guests import ADA, guarded, in_header
from tests.ingress.replica import Replica, closing, is_admitted, replica

pytestmark = pytest.mark.timeout(60)


LOCAL = [
    "http://localhost",
    "http://localhost:4000",
    "https://localhost:8443",
    "http://LOCALHOST:3000",
    "http://app.localhost:5173",
    "http://127.0.0.1:4000",
    "http://127.1.2.3",
    "http://[::1]:4000",
    "http://[::ffff:127.0.0.1]",
]
FOREIGN = [
    "https://evil.example",
    "http://localhost.evil.example",
    "http://evil.example:4000",
    "http://localhost@evil.example",
    "http://evil.example/localhost",
    "http://127.0.0.1.evil.example",
    "http://notlocalhost",
    "http://192.168.1.9:4000",
    "http://localhost, http://evil.example",
    "null",
    "file://",
    "chrome-extension://abcdefgh",
]


async def from_page(server: Replica, origin: str, **headers: str) -> ClientConnection:
    return await server.call(additional_headers={"Origin": origin, **headers})


async def test_pages_of_this_machine_may_connect() -> None:
    async with replica() as server:
        for origin in LOCAL:
            assert await is_admitted(await from_page(server, origin)), origin
        own = await from_page(server, f"http://{server.address}")
        assert await is_admitted(own)


async def test_pages_of_others_may_not() -> None:
    async with replica() as server:
        for origin in FOREIGN:
            code, said = await closing(await from_page(server, origin))
            assert code == 4403 and "args.access.origins" in said, origin


async def test_a_foreign_page_with_a_key_may_not_either(keys: Path) -> None:
    async with guarded(keys) as server:
        headers = in_header(ADA)["additional_headers"]
        assert (await closing(await from_page(server, FOREIGN[0], **headers)))[0] == 4403


async def test_two_origins_are_none() -> None:
    async with replica() as server:
        pairs = [("Origin", "http://localhost"), ("Origin", "http://evil.example")]
        with pytest.raises(InvalidStatus, match="400"):
            await server.call(additional_headers=pairs)


async def test_a_page_that_is_listed_may_connect() -> None:
    async with replica(access={"origins": ["https://shop.example"]}) as server:
        assert await is_admitted(await from_page(server, "https://shop.example"))
        for other in ("http://shop.example", "https://shop.example:444", "https://a.shop.example"):
            assert (await closing(await from_page(server, other)))[0] == 4403
