"""Where a telephone call says whose it is: Twilio sends no header and no query of ours."""

from pathlib import Path

import pytest

from tests.ingress.access.guests import ADA, guarded
from tests.ingress.telephone_caller import phoning

pytestmark = pytest.mark.timeout(60)


async def test_the_key_is_a_custom_parameter(keys: Path) -> None:
    async with guarded(keys) as server:
        async with phoning(server.address, key=ADA) as call:
            await call.until("media")
        async with phoning(server.address, key="wrong") as call:
            code, reason = await call.ending()
            assert code == 4401 and reason.startswith("this key is not known here")
            assert not call.got
        async with phoning(server.address) as call:
            code, reason = await call.ending()
            assert code == 4401 and reason.startswith("send a key")
