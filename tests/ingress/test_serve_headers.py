"""No client sets what Serve obeys. On a real server: tests/serve/test_privacy.py."""

import asyncio
from typing import Any

import pytest
from ray.serve._private import http_util
from ray.serve._private.constants import (
    SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER,
    SERVE_HTTP_REQUEST_ID_HEADER,
    SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER,
    SERVE_MULTIPLEXED_MODEL_ID,
    SERVE_SESSION_ID,
)
from starlette.types import Receive, Scope, Send

from serve_app.ingress.serve_headers import CALLBACK, ServeHeaders, is_serves

SERVES = (
    SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER,
    SERVE_HTTP_REQUEST_ID_HEADER,
    SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER,
    SERVE_MULTIPLEXED_MODEL_ID,
    SERVE_SESSION_ID,
    "X-Serve-Router-Anything",
    "traceparent",
    "tracestate",
)


@pytest.mark.parametrize("name", SERVES)
def test_what_ray_reads_from_a_header_is_known_here(name: str) -> None:
    for spelt in (name, name.upper(), name.replace("-", "_"), name.replace("_", "-")):
        assert is_serves(spelt.encode())


def test_what_clients_need_stays() -> None:
    for name in ("authorization", "origin", "host", "sec-websocket-protocol", "x-forwarded-for"):
        assert not is_serves(name.encode())


async def _headers_behind(sent: list[tuple[bytes, bytes]], kind: str) -> dict[bytes, bytes]:
    """What an application sees of a request that passes what Serve puts before it."""
    seen: list[tuple[bytes, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(scope["headers"])

    before: Any = http_util._apply_middlewares(app, _called())
    await before({"type": kind, "headers": sent}, None, None)
    return dict(seen)


def _called() -> list[Any]:
    """As Serve calls it, by its path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_util, "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", CALLBACK)
        return list(http_util.configure_http_middlewares(http_util.HTTPOptions()).middlewares)


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_serve_makes_its_own_request_id_and_obeys_no_timeout(kind: str) -> None:
    sent = [
        (b"origin", b"http://localhost"),
        (b"x-request-id", b"mine"),
        (b"x-request-timeout-seconds", b"0.001"),
        (b"x-request-disconnect-disabled", b"?1"),
        (b"x_session-id", b"pinned"),
    ]
    seen = asyncio.run(_headers_behind(sent, kind))
    assert seen[b"origin"] == b"http://localhost"
    assert seen[b"x-request-id"] not in (b"", b"mine")
    assert http_util.parse_request_timeout_header(seen, 7.0) == 7.0
    assert not http_util.parse_disconnect_disabled_header(seen)
    assert http_util.parse_session_id_header(seen) == ""


def test_a_request_without_headers_passes() -> None:
    passed: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope)

    async def nothing(*_: object) -> Any:
        raise AssertionError

    asyncio.run(ServeHeaders(app)({"type": "lifespan"}, nothing, nothing))
    assert passed == [{"type": "lifespan"}]
