"""Where a client says who it is, and what is known of it then."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serve_app.errors import KeyRefused

SUBPROTOCOL = "echo.v1"
_SUBPROTOCOLS = (SUBPROTOCOL, "realtime")
"""The only ones that the server ever chooses: what it chooses is sent back in the clear."""
_BEARER = "bearer."
_OPENAIS = "openai-insecure-api-key."
"""What OpenAI's clients in a browser write before the key."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a client has shown to be."""

    name: str = ""
    """Of the tenant: `key:NAME` or `jwt:SUBJECT`; empty where nobody is asked."""
    expires_s: float | None = None
    """Unix time at which the credential ends."""
    key_sha256: str = ""
    """Of the static key that it depends on, if there is one."""


NOBODY = Principal()


def chosen(offered: Sequence[str]) -> str | None:
    """The subprotocol of the answer."""
    return next((known for known in _SUBPROTOCOLS if known in offered), None)


def presented(headers: Mapping[str, str], offered: Sequence[str]) -> str:
    """The credential of a handshake; empty if there is none. The header comes first. Raises
    KeyRefused for one that cannot be read. `headers`: with names in lower case."""
    if authorization := headers.get("authorization", ""):
        return _from_header(authorization)
    for protocol in offered:
        if protocol.startswith(_BEARER):
            return _from_subprotocol(protocol.removeprefix(_BEARER))
        if protocol.startswith(_OPENAIS):
            return protocol.removeprefix(_OPENAIS)
    return ""


def _from_header(authorization: str) -> str:
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise KeyRefused("the Authorization header must be: Bearer KEY")
    return credential.strip()


def _from_subprotocol(encoded: str) -> str:
    """base64url without padding: a subprotocol has few characters."""
    try:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", encoded):
            raise ValueError
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (ValueError, binascii.Error):
        raise KeyRefused("the subprotocol must be bearer. and the base64url of the key") from None
