"""JSON Web Tokens: which are taken."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest

from tests.ingress.access.guests import PLACES, SECRET, Place, in_header
from tests.ingress.access.tokens import (
    CONFUSED,
    EC_KEY,
    EC_PEM,
    LEEWAY_S,
    NONE,
    OTHER_RSA_KEY,
    PEM,
    RSA_KEY,
    claims,
    hs256,
    of_provider,
    rs256,
    signed_by_hand,
)
from tests.ingress.replica import closing, is_admitted, replica

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("place", PLACES)
async def test_a_token_is_taken_in_each_place(pem: Path, place: Place) -> None:
    async with replica(**of_provider(pem)) as server:
        assert await is_admitted(await server.call(**place(rs256())))


async def test_hs256_and_es256_are_taken_where_they_are_configured(tmp_path: Path) -> None:
    path = tmp_path / "ec.pem"
    path.write_bytes(EC_PEM)
    secret = {"algorithms": ["HS256"], "secret_variable": "JWT_SECRET", "public_key_file": ""}
    for settings, token in [
        (of_provider(path, algorithms=["ES256"]), jwt.encode(claims(), EC_KEY, "ES256")),
        (of_provider(path, **secret), jwt.encode(claims(), SECRET, "HS256")),
    ]:
        async with replica(**settings) as server:
            assert await is_admitted(await server.call(**in_header(token)))


REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "alg none": (lambda: signed_by_hand(NONE, lambda body: b""), "the token's algorithm (alg)"),
    "alg None": (
        lambda: signed_by_hand({"alg": "None"}, lambda body: b""),
        "the token's algorithm (alg)",
    ),
    "key confusion": (
        lambda: signed_by_hand(CONFUSED, hs256(PEM)),
        "the token's algorithm (alg)",
    ),
    "another algorithm": (
        lambda: jwt.encode(claims(), RSA_KEY, "PS256"),
        "the token's algorithm (alg)",
    ),
    "another key": (
        lambda: jwt.encode(claims(), OTHER_RSA_KEY, "RS256"),
        "the token is not valid",
    ),
    "its own key": (
        lambda: jwt.encode(
            claims(),
            OTHER_RSA_KEY,
            "RS256",
            headers={"jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OTHER_RSA_KEY))},
        ),
        "the token is not valid",
    ),
    "signature left out": (lambda: rs256().rpartition(".")[0] + ".", "the token is not valid"),
    "expired": (lambda: rs256(exp=int(time.time() - LEEWAY_S - 1)), "the token has expired"),
    "without exp": (lambda: rs256(exp=None), "the token lacks exp or sub"),
    "without sub": (lambda: rs256(sub=None), "the token lacks exp or sub"),
    "empty sub": (lambda: rs256(sub=""), "the token's subject (sub) must have"),
    "long sub": (lambda: rs256(sub="x" * 257), "the token's subject (sub) must have"),
    "sub is a number": (lambda: rs256(sub=1), "the token is not valid"),
    "exp is infinite": (lambda: rs256(exp=float("inf")), "the token is not valid"),
    "not yet": (lambda: rs256(nbf=int(time.time()) + 60), "the token is not valid yet"),
    "another audience": (lambda: rs256(aud="shop"), "the token is for another audience"),
    "no audience": (lambda: rs256(aud=None), "the token lacks"),
    "another issuer": (lambda: rs256(iss="https://evil.example"), "the token is from another"),
    "no JWT": (lambda: "a.b.c", "the token is not valid"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_token_is_refused(pem: Path, case: str) -> None:
    make, reason = REFUSED[case]
    token = make()
    async with replica(**of_provider(pem)) as server:
        code, said = await closing(await server.call(**in_header(token)))
    assert code == 4401 and said.startswith(reason), said


async def test_the_clocks_may_differ_by_the_leeway(pem: Path) -> None:
    async with replica(**of_provider(pem)) as server:
        late = rs256(exp=int(time.time()) - 1)
        assert await is_admitted(await server.call(**in_header(late)))


async def test_a_token_that_expires_ends_its_session(pem: Path) -> None:
    async with replica(**of_provider(pem)) as server:
        socket = await server.call(**in_header(rs256()))
        assert await is_admitted(socket)
        server.now_s = time.time() + 600 + LEEWAY_S
        assert (await closing(socket))[0] == 4511
