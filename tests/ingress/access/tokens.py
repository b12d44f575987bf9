"""Tokens as an identity provider makes them, and as nobody should."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.ingress.access.guests import FAST

LEEWAY_S = 5.0
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
PEM = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
EC_PEM = EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def claims(**changes: Any) -> dict[str, Any]:
    now_s = int(time.time())
    whole = {"sub": "ada", "exp": now_s + 600, "aud": "echo", "iss": "https://id.example"}
    return {name: value for name, value in (whole | changes).items() if value is not None}


def signed_by_hand(header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """What no library would make."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    body = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims()).encode())}"
    return f"{body}.{part(sign(body.encode()))}"


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    algorithm = jwt.get_algorithm_by_name("HS256")
    return lambda body: algorithm.sign(body, secret)


def rs256(**changes: Any) -> str:
    return jwt.encode(claims(**changes), RSA_KEY, "RS256")


NONE = {"alg": "none", "typ": "JWT"}
CONFUSED = {"alg": "HS256", "typ": "JWT"}


def of_provider(pem: Path, **changes: Any) -> dict[str, Any]:
    settings = {
        "algorithms": ["RS256"],
        "public_key_file": str(pem),
        "audience": "echo",
        "issuer": "https://id.example",
        "leeway_s": LEEWAY_S,
    }
    return {"access": {"jwt": {**settings, **changes}, **FAST}}
