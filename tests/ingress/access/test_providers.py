"""JSON Web Tokens whose keys an identity provider has at an address."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from tests.ingress.access.guests import in_header
from tests.ingress.access.tokens import (
    CONFUSED,
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
from tests.ingress.replica import Replica, closing, is_admitted, replica
from tests.ingress.served import served

pytestmark = pytest.mark.timeout(60)


class Provider:
    """What an identity provider has at its jwks_url."""

    def __init__(self) -> None:
        self.keys = {"one": RSA_KEY}
        self.asked = 0
        self.is_down = False
        self.instead: Response | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def answer(self, request: Request) -> Response:
        self.asked += 1
        await self.may_answer.wait()
        if self.instead is not None:
            return self.instead
        if self.is_down:
            return JSONResponse({}, status_code=503)
        keys = [
            json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": name}
            for name, key in self.keys.items()
        ]
        return JSONResponse({"keys": keys})


@asynccontextmanager
async def with_jwks(pem: Path, **args: Any) -> AsyncIterator[tuple[Replica, Provider]]:
    provider = Provider()
    async with served([Route("/jwks", provider.answer)]) as address:
        settings = of_provider(pem, public_key_file="", jwks_url=f"http://{address}/jwks")
        async with replica(**settings, **args) as server:
            try:
                yield server, provider
            finally:
                provider.may_answer.set()


def named(name: str, key: rsa.RSAPrivateKey = RSA_KEY, **headers: Any) -> str:
    return jwt.encode(claims(), key, "RS256", headers={"kid": name, **headers})


async def test_the_keys_of_a_provider_are_fetched_once(pem: Path) -> None:
    async with with_jwks(pem) as (server, provider):
        for _ in range(3):
            assert await is_admitted(await server.call(**in_header(named("one"))))
        assert provider.asked == 1


async def test_names_that_are_made_up_do_not_make_us_ask_again_and_again(pem: Path) -> None:
    async with with_jwks(pem) as (server, provider):
        for number in range(5):
            code, said = await closing(await server.call(**in_header(named(f"x{number}"))))
            assert code == 4401 and "its issuer lacks" in said
        assert provider.asked == 1


@pytest.mark.parametrize(
    "token",
    [
        lambda: named("one", OTHER_RSA_KEY),
        lambda: named("one", OTHER_RSA_KEY, jku="http://evil.example/jwks"),
        lambda: signed_by_hand(CONFUSED | {"kid": "one"}, hs256(PEM)),
        lambda: signed_by_hand(NONE | {"kid": "one"}, lambda body: b""),
        rs256,
    ],
    ids=["another key", "its own jku", "key confusion", "alg none", "no kid"],
)
async def test_a_token_that_no_key_of_the_provider_has_signed(
    pem: Path, token: Callable[[], str]
) -> None:
    async with with_jwks(pem) as (server, _):
        assert (await closing(await server.call(**in_header(token()))))[0] == 4401


async def test_a_provider_that_is_down_lets_nobody_in_and_says_that_it_is_not_the_token(
    pem: Path,
) -> None:
    async with with_jwks(pem) as (server, provider):
        provider.is_down = True
        for _ in range(2):
            code, said = await closing(await server.call(**in_header(named("one"))))
            assert code == 1011 and "the provider's keys cannot be had" in said
        assert provider.asked == 1, "it is left alone for a while"


@pytest.mark.parametrize(
    "instead",
    [HTMLResponse("<p>Sign in</p>"), JSONResponse({"keys": []}), JSONResponse([])],
    ids=["a page", "no keys", "no set of keys"],
)
async def test_a_provider_without_keys_is_down_as_well(pem: Path, instead: Response) -> None:
    """It was asked again by each client, and called the token wrong."""
    async with with_jwks(pem) as (server, provider):
        provider.instead = instead
        for _ in range(2):
            code, said = await closing(await server.call(**in_header(named("one"))))
            assert code == 1011 and "the provider's keys cannot be had" in said
        assert provider.asked == 1


async def test_who_waits_for_a_provider_to_answer_waits_like_all_others(pem: Path) -> None:
    """Strangers with names of keys that are made up must not pile up while it is slow."""
    async with with_jwks(pem, ingress={"socket": {"waiting_of_address": 2}}) as (server, provider):
        provider.may_answer.clear()
        first, *others = [await server.call(**in_header(named("one"))) for _ in range(3)]
        code, said = await closing(first)
        assert code == 1013 and "too many sockets wait" in said
        provider.may_answer.set()
        for other in others:
            assert await is_admitted(other)
