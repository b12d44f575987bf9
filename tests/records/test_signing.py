"""The signature of a webhook, as Standard Webhooks has it."""

import base64
import hmac
from hashlib import sha256

import pytest

from serve_app.records.signing import headers, key_of


def test_the_example_of_the_specification() -> None:
    """From https://www.standardwebhooks.com, as the libraries of others test it."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    found = headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.9, [body])
    assert found == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_body_in_parts_has_the_same_signature() -> None:
    key = b"a secret of thirty-two bytes, at least"
    whole = headers(key, "a", 1.0, [b"abcdef"])
    assert whole == headers(key, "a", 1.0, [b"ab", b"", b"cdef"])
    digest = hmac.new(key, b"a.1.abcdef", sha256).digest()
    assert whole["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert headers(key, "b", 1.0, [b"abcdef"]) != whole != headers(key, "a", 2.0, [b"abcdef"])


def test_what_is_no_secret_is_refused() -> None:
    with pytest.raises(ValueError):
        key_of("whsec_not base64!")
    assert key_of("plain") == b"plain"
