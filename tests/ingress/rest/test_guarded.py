"""What every route of the HTTP API has around it."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from ray.serve._private.direct_ingress_http_util import ASGIDIReceiveProxy
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from serve_app.ingress.access import Gate, Guest
from serve_app.ingress.rest.guarded import Guarded
from serve_app.settings.access import AccessSettings
from tests.ingress.served import running

pytestmark = pytest.mark.timeout(60)

CHUNK, COUNT = 1 << 16, 256


async def body() -> AsyncIterator[bytes]:
    for _ in range(COUNT):
        yield bytes(CHUNK)


async def test_a_body_waits_at_the_client_until_it_is_read() -> None:
    """Serve would read all of it at once into a queue."""
    most_waiting = 0
    proxies: list[ASGIDIReceiveProxy] = []

    async def slowly(request: Request, guest: Guest) -> Response:
        nonlocal most_waiting
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            waiting = sum(len(message.get("body", b"")) for message in proxies[0].queue._queue)
            most_waiting = max(most_waiting, waiting)
            await asyncio.sleep(0.002)
        return PlainTextResponse(str(size))

    guarded = Guarded(Gate(AccessSettings(), {}), slowly)

    async def as_serve_does(scope: Scope, receive: Receive, send: Send) -> None:
        proxies.append(ASGIDIReceiveProxy(scope, receive, asyncio.get_running_loop()))
        reading = proxies[0].fetch_until_disconnect_task()
        try:
            await guarded(scope, proxies[0], send)
        finally:
            reading.cancel()

    async with running(as_serve_does) as (port, _), httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"http://127.0.0.1:{port}/", content=body())
    assert int(answer.text) == CHUNK * COUNT
    assert 0 < most_waiting <= 1 << 20
