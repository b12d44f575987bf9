"""Client keys: what a web page gets in the place of the key of its server. They are signed, so any
replica with the same secret can check them, and none has to be kept."""

import base64
import binascii
import hmac
import json
from dataclasses import dataclass
from hashlib import sha256

from serve_app.access.keys import Key
from serve_app.errors import KeyRefused

PREFIX = "echo_ck_"
OPENAIS = "ek_"
"""Before the prefix, for OpenAI's clients: some of them take nothing in a browser but an ephemeral
key, which they know by this."""
LONGEST_S = 7200.0
_CONTEXT = b"echo-serve client key 1\0"
"""What is signed is nothing else, even if the secret is used elsewhere, too."""


@dataclass(frozen=True, slots=True)
class ClientKey:
    """What a client key says."""

    name: str
    """Of the static key for which it was made."""
    key_sha256: str
    """Of the same. The client key ends with it."""
    expires_s: float
    """Unix time."""


def make(secret: bytes, key: Key, now_s: float, lasts_s: float) -> tuple[str, float]:
    """A client key, and the Unix time at which it ends: after `lasts_s`, but with `key` at the
    latest. `lasts_s`: 1 to 7200."""
    expires_s = now_s + min(lasts_s, LONGEST_S)
    if key.expires_s is not None:
        expires_s = min(expires_s, key.expires_s)
    fields = {"name": key.name, "key": key.sha256, "exp": int(expires_s)}
    body = _encoded(json.dumps(fields, separators=(",", ":")).encode())
    return f"{PREFIX}{body}.{_encoded(_signature(secret, body))}", int(expires_s)


def is_one(credential: str) -> bool:
    """Whether it looks like a client key."""
    return credential.removeprefix(OPENAIS).startswith(PREFIX)


def read(secret: bytes, token: str, now_s: float) -> ClientKey:
    """What a client key says. Raises KeyRefused if it was not signed with this secret, or has
    expired."""
    body, _, signature = token.removeprefix(OPENAIS).removeprefix(PREFIX).partition(".")
    if not hmac.compare_digest(_signature(secret, body), _decoded(signature)):
        raise KeyRefused("the client key is not one of this server: ask for a new one")
    fields = json.loads(_decoded(body))
    found = ClientKey(fields["name"], fields["key"], fields["exp"])
    if now_s >= found.expires_s:
        raise KeyRefused("the client key has expired: ask your server for a new one")
    return found


def _signature(secret: bytes, body: str) -> bytes:
    return hmac.digest(secret, _CONTEXT + body.encode(), sha256)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    """Empty for what is no base64url: no signature is empty."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        return b""
