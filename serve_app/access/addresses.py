"""Which address a client has, and what of that can be made up.

A proxy that appends to `X-Forwarded-For` says there whom it has seen. Everything before what the
last trusted proxy has appended is the client's own invention, so the list is read from its end.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from contextlib import suppress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOME_BITS = 64
"""Whoever has one IPv6 address usually has all of its /64."""


class TrustedProxies:
    """The proxies whose X-Forwarded-For is believed."""

    def __init__(self, networks: Iterable[str], has_edge: bool = False) -> None:
        """`has_edge`: every connection comes through a HAProxy of our own, which has appended whom
        it has seen. Raises ValueError."""
        self._has_edge = has_edge
        self._networks: list[Network] = [ipaddress.ip_network(network) for network in networks]

    def client(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The address to which limits apply: the first from the end that is no trusted proxy's; or
        else the first of all. Empty if it is unknown. `peer`: the other end of the connection;
        `forwarded_for`: each X-Forwarded-For header, in their order."""
        hops = hops_in(forwarded_for)
        found = address_of(hops.pop() if self._has_edge and hops else peer)
        while found is not None and hops and self._trusts(found):
            last = address_of(_without_port(hops.pop()))
            if last is None:
                break  # what is before it may be made up
            found = last
        return "" if found is None else str(_home(found))

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def hops_in(forwarded_for: Sequence[str]) -> list[str]:
    """What proxies have seen, or clients made up: the last one to write is the last."""
    return [hop.strip() for header in forwarded_for for hop in header.split(",")]


def address_of(text: str) -> Address | None:
    """None for what is no address. One of IPv4 may be written as one of IPv6."""
    with suppress(ValueError):
        address = ipaddress.ip_address(text)
        return getattr(address, "ipv4_mapped", None) or address
    return None


def _without_port(hop: str) -> str:
    """Some proxies append `1.2.3.4:5678` or `[::1]:5678`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _home(address: Address) -> Address | Network:
    if isinstance(address, ipaddress.IPv6Address):
        return ipaddress.ip_network((address, _HOME_BITS), strict=False)
    return address
