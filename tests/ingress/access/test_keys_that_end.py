"""Keys that are revoked, expire or are new while the server runs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from serve_app.access.keys import Key, hashed, new_secret
from tests.ingress.access.guests import ADA, BEN, guarded, in_header, write_keys
from tests.ingress.replica import closing, is_admitted

pytestmark = pytest.mark.timeout(60)


async def test_a_revoked_key_ends_its_session_and_only_that(keys: Path) -> None:
    async with guarded(keys) as server:
        ada, ben = [await server.call(**in_header(key)) for key in (ADA, BEN)]
        assert await is_admitted(ada) and await is_admitted(ben)
        write_keys(keys, Key("ben", hashed(BEN), 0.0))
        assert await closing(ada) == (4511, "the key was revoked")
        assert (await closing(await server.call(**in_header(ADA))))[0] == 4401
        await ben.send(msgpack.packb({"type": "close"}))
        assert (await closing(ben))[0] == 1000


async def test_a_key_that_expires_ends_its_session(keys: Path) -> None:
    async with guarded(keys) as server:
        ben = await server.call(**in_header(BEN))
        assert await is_admitted(ben)
        server.now_s = time.time() + 3601
        code, said = await closing(ben)
        assert code == 4511 and said.startswith("the key has expired")


async def test_a_key_that_is_added_is_known_soon(keys: Path) -> None:
    new = new_secret()
    async with guarded(keys) as server:
        ada = await server.call(**in_header(ADA))
        assert await is_admitted(ada)
        write_keys(keys, Key("ada", hashed(new), 0.0))  # the name is the same, the key is not
        assert (await closing(ada))[0] == 4511
        assert await is_admitted(await server.call(**in_header(new)))


@pytest.mark.parametrize("break_it", [Path.unlink, lambda path: path.write_text("{")])
async def test_while_the_file_cannot_be_read_what_it_said_holds(
    keys: Path, break_it: Callable[[Path], Any]
) -> None:
    async with guarded(keys) as server:
        gate = server.ingress._gate
        break_it(keys)
        gate._keys._looked_s -= 2.0  # as if nobody had looked for a while
        assert await is_admitted(await server.call(**in_header(ADA)))
