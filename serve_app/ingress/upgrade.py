"""What a plain HTTP request for the address of the WebSocket is told."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_HINT = (
    "This is a WebSocket: connect to {url} and send MessagePack in binary frames.\n"
    "If you did, a proxy in between has dropped the header `Upgrade: websocket`.\n"
)
_HEADERS = {"Upgrade": "websocket", "Connection": "Upgrade"}


def upgrade_routes(paths: Sequence[str]) -> list[Route]:
    """One for each path at which a WebSocket is."""
    return [Route(path, _upgrade) for path in paths]


async def _upgrade(request: Request) -> Response:
    # Whoever makes the header up misleads nobody else.
    has_tls = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    scheme = "wss" if has_tls else "ws"
    hint = _HINT.format(url=request.url.replace(scheme=scheme))
    return PlainTextResponse(hint, status_code=426, headers=_HEADERS)
