"""Whatever a stranger sends is refused in one way: never by an exception of a library."""

import time
from collections.abc import Callable
from contextlib import suppress

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.access import client_keys, web_tokens
from serve_app.access.addresses import TrustedProxies
from serve_app.access.credentials import presented
from serve_app.access.keys import Key, KeyRing, hashed
from serve_app.access.origins import OriginRules
from serve_app.errors import KeyRefused, OriginRefused
from serve_app.settings.access import JwtSettings

SECRET = b"x" * 32
HS256 = JwtSettings(algorithms=("HS256",), secret_variable="JWT_SECRET")
RULES = OriginRules(("https://shop.example",), ("studio",))
RING = KeyRing((Key("ada", hashed("secret"), 0.0),))
PARTS = st.sampled_from(["http", "https", "://", ":", "/", "[", "]", "@", "::1", "localhost", "."])
LIKE_AN_ORIGIN = st.lists(PARTS | st.text(max_size=3), max_size=8).map("".join)
LIKE_A_TOKEN = st.lists(
    st.text(max_size=6) | st.sampled_from(["e30", "eyJhbGciOiJIUzI1NiJ9", "_", "=", ""]), max_size=4
).map(".".join)


@given(LIKE_AN_ORIGIN | st.text(), LIKE_AN_ORIGIN | st.none())
def test_origins(origin: str, host: str | None) -> None:
    with suppress(OriginRefused):
        RULES.check(origin, host)


@given(st.text(), st.lists(LIKE_AN_ORIGIN))
def test_addresses(peer: str, forwarded_for: list[str]) -> None:
    for has_edge in (False, True):
        assert len(TrustedProxies(["0.0.0.0/0"], has_edge).client(peer, forwarded_for)) < 64


@given(st.text(), st.lists(st.text().map("bearer.{}".format)))
def test_handshakes(authorization: str, offered: list[str]) -> None:
    for headers in ({"authorization": authorization}, {}):
        with suppress(KeyRefused):
            assert isinstance(presented(headers, offered), str)


CHECKS: list[Callable[[str], object]] = [
    lambda token: client_keys.read(SECRET, client_keys.PREFIX + token, 0.0),
    lambda token: web_tokens.read(token, SECRET, HS256, 0.0),
    web_tokens.key_id,
]


@pytest.mark.parametrize("check", CHECKS)
@given(token=st.text() | LIKE_A_TOKEN)
def test_tokens(check: Callable[[str], object], token: str) -> None:
    with pytest.raises(KeyRefused):
        check(token)


@given(st.text())
def test_keys(secret: str) -> None:
    assert RING.find(secret) is None


CLAIM = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())
)


@given(st.dictionaries(st.sampled_from(["exp", "sub", "nbf", "iat", "aud", "iss"]), CLAIM))
def test_what_a_provider_may_sign(claims: dict[str, object]) -> None:
    """One that makes strange tokens is refused as well."""
    settings = HS256.model_copy(update={"audience": "echo", "issuer": "us"})
    for changes in ({}, {"exp": time.time() + 60, "sub": "ada", "aud": "echo", "iss": "us"}):
        token = jwt.api_jws.encode(jwt.api_jwt.json.dumps({**changes, **claims}).encode(), SECRET)
        with suppress(KeyRefused):
            found = web_tokens.read(token, SECRET, settings, time.time())
            assert found.subject and found.expires_s > time.time()


@pytest.mark.parametrize("digits", [20, 400])
def test_a_token_for_ever_ends_sometime(digits: int) -> None:
    """Whole numbers of Python have no end, and those of a clock have."""
    token = jwt.encode({"exp": 10**digits, "sub": "ada"}, SECRET)
    with suppress(KeyRefused):
        assert web_tokens.read(token, SECRET, HS256, 0.0).expires_s < float("inf")
