"""The bodies of requests: no longer than they may be, and not forever under way."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

from starlette.requests import Request

from serve_app.ingress.rest.refusals import HttpRefused
from serve_app.protocol.realtime.refused import Refused

_BODY_S: Final = 60.0
"""For all of it to come."""
MOST_JSON_BYTES: Final = 64 << 10


async def chunks(request: Request, most_bytes: int) -> AsyncGenerator[bytes, None]:
    """Of the body, as they come. Raises HttpRefused."""
    too_big = HttpRefused(413, "request_too_large", f"the body has more than {most_bytes} bytes")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most_bytes:
        raise too_big
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most_bytes:
            raise too_big
        yield chunk


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """Around the reading of a body. Raises HttpRefused."""
    try:
        async with asyncio.timeout(_BODY_S):
            yield
    except TimeoutError:
        message = f"the body did not come within {_BODY_S:g} s"
        raise HttpRefused(408, "request_timeout", message) from None


async def json_object(request: Request) -> dict[str, Any]:
    """The body, which has to be an object; an empty body is an empty one. Raises Refused."""
    async with in_time():
        body = b"".join([chunk async for chunk in chunks(request, MOST_JSON_BYTES)])
    try:
        fields = json.loads(body, parse_constant=_no_number) if body else {}
    except (ValueError, RecursionError):
        raise Refused("invalid_json", "the body is not valid JSON") from None
    if not isinstance(fields, dict):
        raise Refused("invalid_json", "the body has to be a JSON object")
    return fields


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)
