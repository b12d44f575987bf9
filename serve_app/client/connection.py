"""How the clients open a socket."""

import ipaddress
from contextlib import suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.uri import parse_uri

_PING_S = 5.0
"""A server that does not answer for this long is gone: a pulled cable sends no close frame."""
_CLOSE_S = 2.0


async def connected(url: str, key: str = "") -> ClientConnection:
    """A socket at `url`; through the proxy of the environment, if the server is elsewhere. `key`:
    what the server knows the client by, if it asks for that.

    Raises what `websockets.connect` does: OSError, TimeoutError, WebSocketException.
    """
    return await connect(
        url,
        max_size=None,
        compression=None,
        ping_interval=_PING_S,
        ping_timeout=_PING_S,
        close_timeout=_CLOSE_S,
        proxy=None if is_here(url) else True,
        additional_headers={"Authorization": f"Bearer {key}"} if key else None,
    )


def is_here(url: str) -> bool:
    """Whether the server is on this machine: a proxy would look for it on its own."""
    host = parse_uri(url).host
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
