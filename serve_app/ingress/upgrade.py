"""What a plain HTTP request for the address of the WebSocket is told."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_HINT = (
    "This is a WebSocket: connect to {url} and send {what}.\n"
    "If you did, a proxy in between has dropped the header `Upgrade: websocket`.\n"
)
_HEADERS = {"Upgrade": "websocket", "Connection": "Upgrade"}


def upgrade_routes(paths: Mapping[str, str]) -> list[Route]:
    """One for each path at which a WebSocket is, with what is sent there."""
    return [Route(path, _upgrade(what)) for path, what in paths.items()]


def _upgrade(what: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        # Whoever makes the header up misleads nobody else.
        has_tls = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
        scheme = "wss" if has_tls else "ws"
        hint = _HINT.format(url=request.url.replace(scheme=scheme), what=what)
        return PlainTextResponse(hint, status_code=426, headers=_HEADERS)

    return answer
