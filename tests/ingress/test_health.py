"""`/healthz` says to strangers only that the replica is well."""

from collections.abc import Mapping, Sequence

import pytest

from serve_app.ingress.health import is_of_this_machine

OURS = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "ECHO_SERVE_EDGE": "1"}
SERVES = {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
PYTHONS: dict[str, str] = {}


@pytest.mark.parametrize(
    "peer, forwarded_for, env, is_here",
    [
        ("127.0.0.1", ["127.0.0.1"], OURS, True),
        ("127.0.0.1", ["192.0.2.7"], OURS, False),
        # What a stranger has sent comes before what HAProxy says.
        ("127.0.0.1", ["127.0.0.1", "192.0.2.7"], OURS, False),
        # A proxy on this machine stands for strangers.
        ("127.0.0.1", ["192.0.2.7, 127.0.0.1"], OURS, False),
        ("127.0.0.1", ["nobody", "127.0.0.1"], OURS, False),
        ("127.0.0.1", [], OURS, False),
        ("127.0.0.1", [], SERVES, False),
        ("127.0.0.1", ["127.0.0.1"], SERVES, False),
        ("127.0.0.1", [], PYTHONS, True),
        ("::1", [], PYTHONS, True),
        ("192.0.2.7", [], PYTHONS, False),
        ("192.0.2.7", ["127.0.0.1"], PYTHONS, False),
        ("", [], PYTHONS, False),
    ],
)
def test_who_is_of_this_machine(
    peer: str, forwarded_for: Sequence[str], env: Mapping[str, str], is_here: bool
) -> None:
    assert is_of_this_machine(peer, forwarded_for, env) is is_here
