"""What the processes of a server on one machine know of the HAProxy before them."""

from collections.abc import Mapping

EDGE_VARIABLE = "ECHO_SERVE_EDGE"
"""An environment variable: `1` if HAProxy appends to X-Forwarded-For whom it has seen. Serve's own
configuration of HAProxy does not, so nothing there tells a stranger from a caller on this machine.
"""


def has_edge(env: Mapping[str, str]) -> bool:
    """Whether HAProxy says whom it has seen."""
    return env.get(EDGE_VARIABLE) == "1"


def hides_addresses(env: Mapping[str, str]) -> bool:
    """Whether all clients seem to be at the address of a HAProxy, which does not say more."""
    return env.get("RAY_SERVE_ENABLE_HA_PROXY") == "1" and not has_edge(env)
