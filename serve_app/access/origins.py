"""Which web pages may connect (cross-site WebSocket hijacking).

A browser lets any page open a WebSocket to any server, also to one on the visitor's own machine
that no stranger can reach, and says in `Origin` which page it was. Other clients send no `Origin`.

DNS rebinding: the owner of evil.example points that name at 127.0.0.1 after the page has loaded.
Then `Origin` and `Host` are both evil.example, so that they agree shows nothing by itself. A name
in `Host` counts as the server's own only where rebinding gains nothing: if it is an address or this
machine's name, which nobody else's page can have; under https, for which a rebound name has no
certificate here; or if clients need a key, which a foreign page does not have.
"""

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from serve_app.access.addresses import address_of
from serve_app.errors import OriginRefused

_PORTS = {"http": 80, "https": 443}
_SHOWN = 60
"""Characters of a refused origin that fit into the reason of a close frame."""


@dataclass(frozen=True, slots=True)
class OriginRules:
    """What a server allows."""

    listed: Collection[str]
    """Origins as browsers write them, in lower case."""
    machine: Collection[str] = ()
    """Names of this machine, in lower case."""
    asks_for_keys: bool = False

    def check(self, origin: str | None, host: str | None) -> None:
        """Raises OriginRefused. `origin` and `host` are the headers; None if there is none."""
        if origin is None or origin.lower() in self.listed:
            return
        page = _parsed(origin)
        if page is not None and (_is_local(page.host) or self._is_own(page, host)):
            return
        shown = origin[:_SHOWN].encode("ascii", "replace").decode()
        raise OriginRefused(f"pages of {shown} may not connect: list it in args.access.origins")

    def _is_own(self, page: "_Site", host: str | None) -> bool:
        if host is None or _parsed(f"{page.scheme}://{host}") != page:
            return False
        is_certain = address_of(page.host) is not None or page.host in self.machine
        return is_certain or page.scheme == "https" or self.asks_for_keys


@dataclass(frozen=True, slots=True)
class _Site:
    scheme: str
    host: str
    port: int


def _parsed(origin: str) -> _Site | None:
    """None for what is no origin of the web: `null`, files, extensions, or more than an origin."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    is_bare = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme not in _PORTS or not parts.hostname or not is_bare:
        return None
    name = parts.hostname.lower().removesuffix(".")
    return _Site(parts.scheme, name, port or _PORTS[parts.scheme])


def _is_local(host: str) -> bool:
    """localhost and names below it (RFC 6761 section 6.3), all of 127.0.0.0/8, ::1, and 0.0.0.0,
    under which browsers reach this machine, too."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = address_of(host)
    return address is not None and (address.is_loopback or address.is_unspecified)
