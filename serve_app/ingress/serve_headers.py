"""Takes out of a request what Ray Serve would obey, whoever sent it.

Serve reads these headers before any code of the application runs (as read in Ray 2.60:
`_direct_ingress_asgi` in replica.py, `setup_request_context_and_handle` in proxy.py). So this is a
middleware of Serve's HTTP server: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names `middlewares`,
which the proxies and the ingress replicas call when they start.
"""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

CALLBACK = f"{__name__}.middlewares"
"""For RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH."""

REFUSED = frozenset(
    {
        "x_request_timeout_seconds",  # ends the request after this time
        "x_request_disconnect_disabled",  # nobody looks whether the client is gone
        "serve_multiplexed_model_id",  # which replica, after a search for one that has the model
        "x_session_id",  # which replica
        "x_request_id",  # stands in Serve's logs and in the answer; Serve makes one instead
        "traceparent",  # the client's trace goes on in ours
        "tracestate",
    }
)
"""By name, with underscores: Serve takes some of them with either."""
REFUSED_PREFIX = "x_serve_"
"""Whatever else Serve gives a meaning to."""


class ServeHeaders:
    """An ASGI application behind which no client can set a header of Serve's. Costs nothing for
    each frame."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "headers" in scope:
            kept = [(name, value) for name, value in scope["headers"] if not is_serves(name)]
            scope = {**scope, "headers": kept}
        await self._app(scope, receive, send)


def is_serves(name: bytes) -> bool:
    """Whether Serve would obey this header."""
    plain = name.decode("latin-1").lower().replace("-", "_")
    return plain in REFUSED or plain.startswith(REFUSED_PREFIX)


def middlewares() -> list[Middleware]:
    """What Serve asks for at start."""
    return [Middleware(ServeHeaders)]
