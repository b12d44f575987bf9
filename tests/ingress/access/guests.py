"""Clients that show who they are, at a replica that asks for it."""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from serve_app.access.keys import Key, KeyRing, new_secret
from tests.ingress.replica import Replica, next_message, replica, says

ADA, BEN, OLD = new_secret(), new_secret(), new_secret()
SECRET = "a secret of at least 32 bytes, for tests only"
FAST = {"recheck_s": 0.02}


def write_keys(path: Path, *keys: Key) -> None:
    path.write_text(KeyRing(keys).written())


@asynccontextmanager
async def guarded(keys: Path, **access: Any) -> AsyncIterator[Replica]:
    async with replica(access={"keys_file": str(keys), **FAST, **access}) as found:
        yield found


def in_header(credential: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {credential}"}}


def in_subprotocol(credential: str) -> dict[str, Any]:
    encoded = base64.urlsafe_b64encode(credential.encode()).rstrip(b"=").decode()
    return {"subprotocols": ["echo.v1", f"bearer.{encoded}"]}


def in_open(credential: str) -> dict[str, Any]:
    return {"say": {"key": credential}}


PLACES = [in_header, in_subprotocol, in_open]
Place = Callable[[str], dict[str, Any]]


async def resumable(server: Replica, how: dict[str, Any]) -> str:
    """The resume token of a conversation of whoever connects like this."""
    say = {**how.get("say", {}), "resume": True}
    socket = await server.call(**{**how, "say": say})
    token = (await next_message(socket, "session"))["resume_token"]
    await says(socket, "Hello.")
    await socket.close()
    return str(token)
