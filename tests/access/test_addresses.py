"""Whose address counts."""

import pytest

from serve_app.access.addresses import TrustedProxies

PROXIES = TrustedProxies(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("1.1.1.1", [], "1.1.1.1"),
        ("1.1.1.1", ["2.2.2.2"], "1.1.1.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["2.2.2.2"], "2.2.2.2"),
        ("127.0.0.1", ["9.9.9.9, 2.2.2.2"], "2.2.2.2"),
        ("127.0.0.1", ["9.9.9.9", "2.2.2.2"], "2.2.2.2"),
        ("127.0.0.1", ["2.2.2.2, 10.1.1.1"], "2.2.2.2"),
        ("127.0.0.1", ["10.3.3.3, 10.1.1.1"], "10.3.3.3"),
        ("127.0.0.1", ["2.2.2.2:5678"], "2.2.2.2"),
        ("127.0.0.1", ["2.2.2.2, nonsense"], "127.0.0.1"),
        ("127.0.0.1", ["9.9.9.9, "], "127.0.0.1"),
        ("::ffff:127.0.0.1", ["2.2.2.2"], "2.2.2.2"),
        ("127.0.0.1", ["[2001:db8:1:2:3::4]:80"], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["2001:db8:1:2:ffff::9"], "2001:db8:1:2::/64"),
        ("fd00::1", ["2.2.2.2"], "2.2.2.2"),
        ("", ["2.2.2.2"], ""),
        ("/run/echo.sock", ["2.2.2.2"], ""),
    ],
)
def test_the_last_address_that_a_trusted_proxy_has_seen(
    peer: str, headers: list[str], client: str
) -> None:
    assert PROXIES.client(peer, headers) == client


@pytest.mark.parametrize(
    ("headers", "networks", "client"),
    [
        (["1.1.1.1"], [], "1.1.1.1"),
        (["9.9.9.9, 1.1.1.1"], [], "1.1.1.1"),
        (["9.9.9.9, 127.0.0.1"], [], "127.0.0.1"),
        (["9.9.9.9", "127.0.0.1"], [], "127.0.0.1"),
        (["9.9.9.9, 1.1.1.1, 127.0.0.1"], ["127.0.0.1"], "1.1.1.1"),
        (["9.9.9.9, 1.1.1.1, 10.0.0.1"], ["127.0.0.1"], "10.0.0.1"),
        ([], [], "127.0.0.1"),
    ],
)
def test_our_own_haproxy_has_appended_whom_it_has_seen(
    headers: list[str], networks: list[str], client: str
) -> None:
    """A caller on this machine is no proxy, although it has HAProxy's address."""
    assert TrustedProxies(networks, has_edge=True).client("127.0.0.1", headers) == client


def test_nobody_is_trusted_by_default() -> None:
    assert TrustedProxies([]).client("127.0.0.1", ["2.2.2.2"]) == "127.0.0.1"
