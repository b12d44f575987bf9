"""Whose a session is."""

from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection

from tests.ingress.access.guests import ADA, BEN, PLACES, Place, guarded, in_header, resumable
from tests.ingress.replica import closing, next_message

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("place", PLACES)
async def test_only_the_tenant_itself_can_resume_its_session(keys: Path, place: Place) -> None:
    async with guarded(keys) as server:
        token = await resumable(server, place(ADA))

        async def resumed(credential: str) -> ClientConnection:
            how = place(credential)
            return await server.call(
                **{**how, "say": {**how.get("say", {}), "resume_token": token}}
            )

        code, said = await closing(await resumed(BEN))
        assert code == 4404, said
        unknown = await server.call(**in_header(BEN), say={"resume_token": f"{'0' * 32}.x"})
        assert await closing(unknown) == (code, said), "as if there were no such session"
        session = await next_message(await resumed(ADA), "session")
        assert session["resume_token"] != token
