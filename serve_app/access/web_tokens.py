"""JSON Web Tokens, by PyJWT. What a token says of itself decides nothing: neither its algorithm nor
where its key would be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from serve_app.errors import KeyRefused
from serve_app.settings.access import JwtSettings

_RSA_BITS = 2048
"""The least, by RFC 7518 section 3.3."""
_SUBJECT_CHARS = 256
"""It is kept for a day, with what it has used."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What counts of a token."""

    subject: str
    expires_s: float
    """Unix time, with the leeway."""


def checked_public_key(pem: bytes, algorithms: Sequence[str]) -> Any:
    """The key in a PEM file. Raises ValueError if none of the algorithms can use it."""
    key = load_pem_public_key(pem)
    if isinstance(key, RSAPublicKey) and key.key_size >= _RSA_BITS and "RS256" in algorithms:
        return key
    is_p256 = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    if is_p256 and "ES256" in algorithms:
        return key
    raise ValueError(
        f"the key does not fit {', '.join(algorithms)}: RS256 needs RSA with at least"
        f" {_RSA_BITS} bits, ES256 a key on the curve P-256"
    )


def key_id(token: str) -> str:
    """What the token says which of the provider's keys it was signed with: only a name to look up.
    Raises KeyRefused."""
    try:
        found = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError:
        raise KeyRefused("the token is no JWT") from None
    if not isinstance(found, str):
        raise KeyRefused("the token does not say which key it was signed with (kid)")
    return found


def read(token: str, key: Any, settings: JwtSettings, now_s: float) -> Claims:
    """What a token says, once it is checked with this key. Raises KeyRefused with what to do."""
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=list(settings.algorithms),
            audience=settings.audience or None,
            issuer=settings.issuer or None,
            leeway=settings.leeway_s,
            options={"require": ["exp", "sub"], "verify_aud": bool(settings.audience)},
        )
        expires_s = float(claims["exp"]) + settings.leeway_s
    except (jwt.PyJWTError, OverflowError) as error:  # exp may be Infinity, or have 400 digits
        raise KeyRefused(_said(error)) from None
    if not 0 < len(claims["sub"]) <= _SUBJECT_CHARS:
        raise KeyRefused(f"the token's subject (sub) must have 1 to {_SUBJECT_CHARS} characters")
    if expires_s <= now_s:
        raise KeyRefused(_said(jwt.ExpiredSignatureError()))
    return Claims(claims["sub"], expires_s)


def _said(error: Exception) -> str:
    """Never the library's own words, which may quote the token."""
    match error:
        case jwt.ExpiredSignatureError():
            return "the token has expired: connect with a new one"
        case jwt.ImmatureSignatureError():
            return "the token is not valid yet (nbf or iat): are the clocks right?"
        case jwt.InvalidAudienceError():
            return "the token is for another audience (aud)"
        case jwt.InvalidIssuerError():
            return "the token is from another issuer (iss)"
        case jwt.InvalidAlgorithmError():
            return "the token's algorithm (alg) is not one that is taken here"
        case jwt.MissingRequiredClaimError():
            return "the token lacks exp or sub, or aud or iss where they are asked for"
        case _:
            return "the token is not valid: its signature or its form is wrong"
