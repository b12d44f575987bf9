"""`POST /client-keys`: a server with a key gets a short-lived one for a web page."""

import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serve_app.access.client_keys import LONGEST_S
from serve_app.access.credentials import presented
from serve_app.access.keys import shown_time
from serve_app.errors import KeyRefused
from serve_app.ingress.access import Gate
from serve_app.ingress.rest.bodies import in_time
from serve_app.ingress.rest.refusals import HttpRefused

_MOST_BYTES = 1024
_NO_STORE = {"cache-control": "no-store"}
_CHALLENGE = {**_NO_STORE, "www-authenticate": "Bearer"}


def client_key_routes(gate: Gate) -> list[Route]:
    """One."""

    async def answer(request: Request) -> Response:
        if not gate.settings.keys_file:
            return _error(404, "no keys are configured here: clients need none")
        try:
            if not (credential := presented(request.headers, ())):
                return _error(401, "send a key of this server as a bearer token")
            key = await gate.static_key(credential)
            made = gate.client_key(key, await _lasts_s(request, gate.settings.client_key_s))
        except KeyRefused as error:
            return _error(401, str(error))
        except HttpRefused as error:
            return _error(error.status, error.message)
        except ValueError as error:
            return _error(400, str(error))
        if made is None:
            return _error(501, f"{gate.settings.client_key_secret_variable} is not set")
        token, expires_s = made
        return JSONResponse({"key": token, "expires": shown_time(expires_s)}, headers=_NO_STORE)

    return [Route("/client-keys", answer, methods=["POST"])]


async def _lasts_s(request: Request, default: float) -> float:
    """Raises ValueError, and HttpRefused for a body that does not come."""
    body = b""
    async with in_time():
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_BYTES:
                raise ValueError(f"the body may have at most {_MOST_BYTES} bytes")
    try:
        fields = json.loads(body) if body else {}
    except RecursionError:
        raise ValueError("the body is not JSON that anybody needs here") from None
    if not isinstance(fields, dict) or fields.keys() - {"ttl_s"}:
        raise ValueError('the body is {"ttl_s": SECONDS}, or nothing')
    seconds = fields.get("ttl_s", default)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError("ttl_s must be a number")
    if not 1 <= seconds <= LONGEST_S:
        raise ValueError(f"ttl_s must be 1 to {LONGEST_S:.0f} seconds")
    return float(seconds)


def _error(status: int, what: str) -> JSONResponse:
    headers = _CHALLENGE if status == 401 else _NO_STORE
    return JSONResponse({"error": what}, status, headers=headers)
