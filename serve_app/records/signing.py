"""Webhooks are signed as Standard Webhooks says (https://www.standardwebhooks.com): whoever has the
secret can tell that a message is from this server, is whole, and is not an old one again."""

import base64
import binascii
import hmac
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

SECRET_BYTES: Final = 32
"""The least of a secret."""
_PREFIX: Final = "whsec_"


def key_of(secret: str) -> bytes:
    """The key that a secret stands for: after `whsec_` there is base64. Raises ValueError."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def headers(key: bytes, name: str, now_s: float, body: Iterable[bytes]) -> dict[str, str]:
    """Of one message. `name`: the same each time that it is sent. `now_s`: Unix time. `body` may
    come in parts."""
    timestamp = str(int(now_s))
    digest = hmac.new(key, f"{name}.{timestamp}.".encode(), sha256)
    for part in body:
        digest.update(part)
    signature = base64.b64encode(digest.digest()).decode()
    return {
        "webhook-id": name,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }
