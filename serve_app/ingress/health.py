"""Who is told by `/healthz` more than whether the replica is well."""

import ipaddress
from collections.abc import Mapping, Sequence

from serve_app.access.addresses import hops_in
from serve_app.settings.edge import has_edge


def is_of_this_machine(peer: str, forwarded_for: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a request comes from this machine, as far as each proxy on its way has said.

    `peer`: the other end of its connection. `forwarded_for`: each X-Forwarded-For header. With a
    HAProxy that says nothing of its callers (`serve run`, Kubernetes), everybody may be a stranger.
    """
    hops = hops_in(forwarded_for)
    if has_edge(env):
        return bool(hops) and _are_loopback([peer, *hops])
    return env.get("RAY_SERVE_ENABLE_HA_PROXY") != "1" and _are_loopback([peer, *hops])


def _are_loopback(addresses: Sequence[str]) -> bool:
    try:
        return all(ipaddress.ip_address(address).is_loopback for address in addresses)
    except ValueError:
        return False
