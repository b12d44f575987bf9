"""The page at `/`: the files of `web/`, which browsers run as they are."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

WEB = Path(__file__).parent / "web"
_INDEX = "index.html"
_CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Not from `mimetypes`, which reads what the machine has configured."""
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_HEADERS = {
    # Names carry no version, so a browser asks each time, and is told that nothing has changed.
    "cache-control": "no-cache",
    "content-security-policy": "; ".join(f"{kind} {where}" for kind, where in _POLICY.items()),
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def page_routes() -> list[Route]:
    """One route for each file, read once. There are no others, so no path leads out of `web/`."""
    files = [path for path in sorted(WEB.rglob("*")) if path.suffix in _CONTENT_TYPES]
    routes = [Route(f"/{path.relative_to(WEB).as_posix()}", _answer(path)) for path in files]
    return [Route("/", _answer(WEB / _INDEX)), *routes]


def _answer(path: Path) -> Callable[[Request], Awaitable[Response]]:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**_HEADERS, "content-type": _CONTENT_TYPES[path.suffix], "etag": tag}

    async def answer(request: Request) -> Response:
        # A proxy that compresses makes the tag a weak one.
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return answer
