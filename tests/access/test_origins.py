"""Which pages may connect, and what stops DNS rebinding."""

import pytest

from serve_app.access.origins import OriginRules
from serve_app.errors import OriginRefused

MACHINE = "studio"


def allows(origin: str | None, host: str | None, *listed: str, asks: bool = False) -> bool:
    rules = OriginRules(listed, (MACHINE, f"{MACHINE}.local"), asks)
    try:
        rules.check(origin, host)
    except OriginRefused as error:
        assert len(str(error).encode()) <= 123, "RFC 6455: the limit of a close reason"
        return False
    return True


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "voice.example"),
        ("http://localhost:5173", "voice.example"),
        ("http://localhost.", "localhost:4000"),
        ("http://0.0.0.0:4000", "0.0.0.0:4000"),
        ("http://192.168.1.5:4000", "192.168.1.5:4000"),
        ("http://[fd00::1]:4000", "[fd00::1]:4000"),
        ("http://studio:4000", "studio:4000"),
        ("http://studio.local:4000", "STUDIO.local:4000"),
        ("https://voice.example", "voice.example"),
        ("https://voice.example", "voice.example:443"),
        ("https://voice.example:8443", "voice.example:8443"),
    ],
)
def test_no_page_and_pages_of_localhost_and_of_the_own_host(
    origin: str | None, host: str | None
) -> None:
    assert allows(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "voice.example"),
        ("https://voice.example", "voice.example:444"),
        ("https://voice.example", None),
        ("https://voice.example", ""),
        ("https://a.voice.example", "voice.example"),
        ("http://192.168.1.5:4000", "192.168.1.6:4000"),
        ("http://192.168.1.5:4000", "192.168.1.5:4001"),
        ("http://studio:4000", "localhost:4000"),
        ("ftp://localhost", "localhost"),
        ("http://localhost:99999", "localhost"),
        ("http://[::1", "localhost"),
        ("http://", "localhost"),
        ("", "localhost"),
        ("http://127.0.0.1.example", "localhost"),
        ("http://xn--localhost", "localhost"),
        ("x" * 5000, "localhost"),
        ("http://" + "é" * 300, "localhost"),
    ],
)
def test_others(origin: str, host: str | None) -> None:
    assert not allows(origin, host)


@pytest.mark.parametrize("host", ["evil.example:4000", "rebound.evil.example:4000"])
def test_a_name_that_was_pointed_at_this_machine_is_not_its_own(host: str) -> None:
    """The page came from the same name and port before: nothing but the name differs."""
    assert not allows(f"http://{host}", host)
    assert allows(f"http://{host}", host, f"http://{host}"), "its owner may list it"
    assert allows(f"http://{host}", host, asks=True), "the page has no key"


def test_what_is_listed_is_meant_exactly() -> None:
    assert allows("app://echo", "localhost", "app://echo")
    assert allows("HTTPS://Shop.example", "voice.example", "https://shop.example")
    assert not allows("https://shop.example.evil", "voice.example", "https://shop.example")
