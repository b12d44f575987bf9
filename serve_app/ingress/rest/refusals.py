"""What a client of OpenAI's HTTP API is told when it does not get what it asked for, in OpenAI's
shape."""

import logging
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from serve_app.errors import EngineTimeout, EngineUnavailable, ProtocolViolation, VoiceError
from serve_app.outline import outline
from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.realtime.refused import Refused

log = logging.getLogger(__name__)

NO_STORE: Final = {"cache-control": "no-store"}
_CLIENTS: Final = "invalid_request_error"
_LIMITS: Final = "rate_limit_error"
_SERVERS: Final = "server_error"
_KNOWN: Final = {
    CloseCode.KEY_REFUSED: (401, _CLIENTS, "invalid_api_key"),
    CloseCode.ORIGIN_REFUSED: (403, _CLIENTS, "origin_refused"),
    CloseCode.LIMIT_REACHED: (429, _LIMITS, "rate_limit_exceeded"),
    CloseCode.AT_CAPACITY: (503, _SERVERS, "at_capacity"),
}
"""Status, type and code, by what would close a socket."""
_FAILED: Final = (500, _SERVERS, "server_error")
_HEADERS: Final = {
    401: {"www-authenticate": "Bearer"},
    429: {"retry-after": "1"},
    503: {"retry-after": "2"},
}


class HttpRefused(Refused):
    """With a status other than 400."""

    def __init__(self, status: int, code: str, message: str, param: str = "") -> None:
        super().__init__(code, message, param)
        self.status = status


def refusal(error: Exception) -> JSONResponse:
    """The answer to a request that has failed like this."""
    if isinstance(error, Refused):
        status = error.status if isinstance(error, HttpRefused) else 400
        return _response(status, _type(status), error.code, error.message, error.param)
    if isinstance(error, ProtocolViolation):  # an option that the engines do not have
        return _response(400, _CLIENTS, "invalid_value", error.reason.removeprefix("open: "))
    if isinstance(error, VoiceError):
        return _response(*_meaning(error), str(error))
    # Its text may quote what was said.
    log.error("a request failed:\n%s", outline(error))
    return _response(*_FAILED, "the server failed: its log says where")


async def not_here(request: Request, error: Exception) -> Response:
    """The answer where no route takes the request. Only OpenAI's clients are told in its shape."""
    assert isinstance(error, HTTPException)
    if not request.url.path.startswith("/v1/"):
        return PlainTextResponse(error.detail, error.status_code, headers=error.headers)
    what = f"{request.method} {request.url.path}"
    if error.status_code == 405:
        code, message = "method_not_supported", f"{what}: there is another method for this address"
    else:
        code, message = "unknown_url", f"{what}: there is nothing at this address"
    response = refusal(HttpRefused(error.status_code, code, message))
    response.headers.update(error.headers or {})
    return response


def _type(status: int) -> str:
    if status == 429:
        return _LIMITS
    return _CLIENTS if status < 500 else _SERVERS


def _meaning(error: VoiceError) -> tuple[int, str, str]:
    if isinstance(error, EngineUnavailable | EngineTimeout):
        return 503, _SERVERS, "engine_unavailable"
    return _KNOWN.get(error.close_code, _FAILED)


def _response(status: int, type_: str, code: str, message: str, param: str = "") -> JSONResponse:
    error = {"message": message, "type": type_, "param": param or None, "code": code}
    headers = NO_STORE | _HEADERS.get(status, {})
    return JSONResponse({"error": error}, status, headers=headers)
