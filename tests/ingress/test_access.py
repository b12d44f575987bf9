"""Who may connect: each case against the real ingress, over real sockets."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import httpx2
import jwt
import msgpack
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from serve_app.access.keys import Key, KeyRing, hashed, new_secret
from serve_app.app import FORWARDED_FOR
from serve_app.client.conversation import ConversationClosed
from serve_app.client.conversation import connect as talking
from serve_app.client.session import converse
from serve_app.errors import AtCapacity, ProtocolViolation
from serve_app.protocol.formats import parse_format
from tests.ingress.replica import (
    OPEN,
    Replica,
    closing,
    is_admitted,
    next_message,
    replica,
)
from tests.ingress.served import served

pytestmark = pytest.mark.timeout(60)

ADA, BEN, OLD = new_secret(), new_secret(), new_secret()
SECRET = "a secret of at least 32 bytes, for tests only"
LEEWAY_S = 5.0
FAST = {"recheck_s": 0.02}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a replica has it."""
    monkeypatch.setenv("ECHO_CLIENT_KEY_SECRET", SECRET)
    monkeypatch.setenv("JWT_SECRET", SECRET)
    for name, value in FORWARDED_FOR.items():
        monkeypatch.setenv(name, value)


def write_keys(path: Path, *keys: Key) -> None:
    path.write_text(KeyRing(keys).written())


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Of Ada and Ben, and one that has expired."""
    path = tmp_path / "keys.json"
    write_keys(
        path,
        Key("ada", hashed(ADA), 0.0),
        Key("ben", hashed(BEN), 0.0, time.time() + 3600),
        Key("old", hashed(OLD), 0.0, time.time() - 1),
    )
    return path


@asynccontextmanager
async def guarded(keys: Path, **access: Any) -> AsyncIterator[Replica]:
    async with replica(access={"keys_file": str(keys), **FAST, **access}) as found:
        yield found


# --- the three places for a credential ---


def in_header(credential: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {credential}"}}


def in_subprotocol(credential: str) -> dict[str, Any]:
    encoded = base64.urlsafe_b64encode(credential.encode()).rstrip(b"=").decode()
    return {"subprotocols": ["echo.v1", f"bearer.{encoded}"]}


def in_open(credential: str) -> dict[str, Any]:
    return {"say": {"key": credential}}


PLACES = [in_header, in_subprotocol, in_open]
Place = Callable[[str], dict[str, Any]]


async def test_who_has_still_to_show_a_key_does_not_wait_long(keys: Path) -> None:
    """Only a page whose key is in its handshake may wait for its visitor's click."""
    async with guarded(keys, key_timeout_s=0.2) as server:
        known = await connect(server.url, proxy=None, **in_header(ADA))
        unknown = await connect(server.url, proxy=None)
        assert (await closing(unknown))[0] == 4408
        await known.send(msgpack.packb(OPEN))
        assert await is_admitted(known)
        await known.close()


@pytest.mark.parametrize("place", PLACES)
async def test_a_key_is_taken_in_each_place(keys: Path, place: Place) -> None:
    async with guarded(keys) as server:
        assert await is_admitted(await server.call(**place(ADA)))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        (ADA[:-1] + ("A" if ADA[-1] != "A" else "B"), "this key is not known here"),
        (hashed(ADA), "this key is not known here"),
        ("x" * 5000, "this key is not known here"),
        (OLD, "this key has expired"),
        ("echo_ck_e30.AAAA", "the client key is not one of this server"),
        ("echo_ck_.", "the client key is not one of this server"),
    ],
    ids=["wrong", "its hash", "long", "expired", "forged client key", "empty client key"],
)
async def test_a_wrong_key_is_refused_in_each_place(
    keys: Path, place: Place, credential: str, reason: str
) -> None:
    async with guarded(keys) as server:
        code, said = await closing(await server.call(**place(credential)))
    assert code == 4401 and said.startswith(reason)
    assert credential not in said


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"say": {"key": ""}},
        {"subprotocols": ["echo.v1"]},
        {"additional_headers": {"Cookie": "key=1"}},
    ],
    ids=["nothing", "empty", "only the subprotocol", "cookie"],
)
async def test_a_missing_key_is_asked_for(keys: Path, how: dict[str, Any]) -> None:
    async with guarded(keys) as server:
        code, said = await closing(await server.call(**how))
    assert code == 4401 and said.startswith("send a key: as a bearer token")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"additional_headers": {"Authorization": "Basic YTpi"}}, "the Authorization header"),
        ({"additional_headers": {"Authorization": "Bearer  "}}, "the Authorization header"),
        ({"subprotocols": ["echo.v1", "bearer.a.b"]}, "the subprotocol must be"),
        ({"subprotocols": ["echo.v1", "bearer.A"]}, "the subprotocol must be"),
    ],
)
async def test_a_credential_that_cannot_be_read_is_explained(
    keys: Path, how: dict[str, Any], reason: str
) -> None:
    async with guarded(keys) as server:
        code, said = await closing(await server.call(**how))
    assert code == 4401 and said.startswith(reason)


async def test_nothing_is_taken_before_the_key(keys: Path) -> None:
    async with guarded(keys) as server, connect(server.url, proxy=None) as socket:
        await socket.send(msgpack.packb({"type": "audio", "audio": b""}))
        assert (await closing(socket))[0] == 4401


async def test_a_wrong_header_is_not_made_good_by_a_right_key_in_open(keys: Path) -> None:
    async with guarded(keys) as server:
        socket = await server.call(**in_header("wrong"), **in_open(ADA))
        assert (await closing(socket))[0] == 4401


@pytest.mark.parametrize(
    ("how", "chosen"),
    [(in_subprotocol(ADA), "echo.v1"), ({"subprotocols": ["other"]}, None), ({}, None)],
)
async def test_the_answer_never_has_the_key(
    keys: Path, how: dict[str, Any], chosen: str | None
) -> None:
    async with guarded(keys) as server:
        socket = await server.call(**how)
        assert socket.response is not None
        assert socket.response.headers.get("Sec-WebSocket-Protocol") == chosen


@pytest.mark.parametrize("place", PLACES)
async def test_without_keys_everybody_comes_in_whatever_they_send(place: Place) -> None:
    async with replica() as server:
        assert await is_admitted(await server.call(**place("anything")))
        assert await is_admitted(await server.call())


async def test_the_python_client_sends_the_key_of_its_environment_at_each_socket(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHO_SERVE_KEY", ADA)
    async with guarded(keys) as server:
        server.script.answers.append("Hello.")
        async with converse(server.url, parse_format("pcm_44100"), resume=True) as session:
            await session.open("", {"transcript"}, greeting=False)
            await session.send({"type": "text", "text": "Who are you?"})
            await session.next("transcript")
            await session.lose_connection()
            await session.next("session")
            await session.send({"type": "text", "text": "And now?"})
            while (await session.next("transcript")).fields["text"] != "And now?":
                pass
            assert session.resumes == 1
        with pytest.raises(ConversationClosed) as caught:
            async with talking(server.url, key="wrong") as conversation:
                async for _ in conversation:
                    pass
    assert caught.value.code == 4401


# --- keys that end, and new ones ---


async def test_a_revoked_key_ends_its_session_and_only_that(keys: Path) -> None:
    async with guarded(keys) as server:
        ada, ben = [await server.call(**in_header(key)) for key in (ADA, BEN)]
        assert await is_admitted(ada) and await is_admitted(ben)
        write_keys(keys, Key("ben", hashed(BEN), 0.0))
        assert await closing(ada) == (4511, "the key was revoked")
        assert (await closing(await server.call(**in_header(ADA))))[0] == 4401
        await ben.send(msgpack.packb({"type": "close"}))
        assert (await closing(ben))[0] == 1000


async def test_a_key_that_expires_ends_its_session(keys: Path) -> None:
    async with guarded(keys) as server:
        ben = await server.call(**in_header(BEN))
        assert await is_admitted(ben)
        server.now_s = time.time() + 3601
        code, said = await closing(ben)
        assert code == 4511 and said.startswith("the key has expired")


async def test_a_key_that_is_added_is_known_soon(keys: Path) -> None:
    new = new_secret()
    async with guarded(keys) as server:
        ada = await server.call(**in_header(ADA))
        assert await is_admitted(ada)
        write_keys(keys, Key("ada", hashed(new), 0.0))  # the name is the same, the key is not
        assert (await closing(ada))[0] == 4511
        assert await is_admitted(await server.call(**in_header(new)))


@pytest.mark.parametrize("break_it", [Path.unlink, lambda path: path.write_text("{")])
async def test_while_the_file_cannot_be_read_what_it_said_holds(
    keys: Path, break_it: Callable[[Path], Any]
) -> None:
    async with guarded(keys) as server:
        gate = server.ingress._gate
        break_it(keys)
        gate._keys._looked_s -= 2.0  # as if nobody had looked for a while
        assert await is_admitted(await server.call(**in_header(ADA)))


# --- JSON Web Tokens ---

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


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "public.pem"
    path.write_bytes(PEM)
    return path


def of_provider(pem: Path, **changes: Any) -> dict[str, Any]:
    settings = {
        "algorithms": ["RS256"],
        "public_key_file": str(pem),
        "audience": "echo",
        "issuer": "https://id.example",
        "leeway_s": LEEWAY_S,
    }
    return {"access": {"jwt": {**settings, **changes}, **FAST}}


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


NONE = {"alg": "none", "typ": "JWT"}
CONFUSED = {"alg": "HS256", "typ": "JWT"}
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


class Provider:
    """What an identity provider has at its jwks_url."""

    def __init__(self) -> None:
        self.keys = {"one": RSA_KEY}
        self.asked = 0
        self.is_down = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def answer(self, request: Request) -> JSONResponse:
        self.asked += 1
        await self.may_answer.wait()
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


# --- tenants ---


async def resumable(server: Replica, how: dict[str, Any]) -> str:
    """The resume token of a conversation of whoever connects like this."""
    say = {**how.get("say", {}), "resume": True}
    socket = await server.call(**{**how, "say": say})
    token = (await next_message(socket, "session"))["resume_token"]
    await is_admitted(socket)
    await socket.send(msgpack.packb({"type": "text", "text": "Hello."}))
    await socket.close()
    return str(token)


@pytest.mark.parametrize("place", PLACES)
async def test_only_the_tenant_itself_can_resume_its_session(keys: Path, place: Place) -> None:
    async with guarded(keys) as server:
        token = await resumable(server, place(ADA))

        async def resumed(credential: str) -> ClientConnection:
            how = place(credential)
            return await server.call(
                **{**how, "say": {**how.get("say", {}), "resume_token": token}}
            )

        code, said = await closing(await resumed(BEN))
        assert code == 4404, said
        unknown = await server.call(**in_header(BEN), say={"resume_token": f"{'0' * 32}.x"})
        assert await closing(unknown) == (code, said), "as if there were no such session"
        session = await next_message(await resumed(ADA), "session")
        assert session["resume_token"] != token


# --- web pages ---

LOCAL = [
    "http://localhost",
    "http://localhost:4000",
    "https://localhost:8443",
    "http://LOCALHOST:3000",
    "http://app.localhost:5173",
    "http://127.0.0.1:4000",
    "http://127.1.2.3",
    "http://[::1]:4000",
    "http://[::ffff:127.0.0.1]",
]
FOREIGN = [
    "https://evil.example",
    "http://localhost.evil.example",
    "http://evil.example:4000",
    "http://localhost@evil.example",
    "http://evil.example/localhost",
    "http://127.0.0.1.evil.example",
    "http://notlocalhost",
    "http://192.168.1.9:4000",
    "http://localhost, http://evil.example",
    "null",
    "file://",
    "chrome-extension://abcdefgh",
]


async def from_page(server: Replica, origin: str, **headers: str) -> ClientConnection:
    return await server.call(additional_headers={"Origin": origin, **headers})


async def test_pages_of_this_machine_may_connect() -> None:
    async with replica() as server:
        for origin in LOCAL:
            assert await is_admitted(await from_page(server, origin)), origin
        own = await from_page(server, f"http://{server.address}")
        assert await is_admitted(own)


async def test_pages_of_others_may_not() -> None:
    async with replica() as server:
        for origin in FOREIGN:
            code, said = await closing(await from_page(server, origin))
            assert code == 4403 and "args.access.origins" in said, origin


async def test_a_foreign_page_with_a_key_may_not_either(keys: Path) -> None:
    async with guarded(keys) as server:
        headers = in_header(ADA)["additional_headers"]
        assert (await closing(await from_page(server, FOREIGN[0], **headers)))[0] == 4403


async def test_two_origins_are_none() -> None:
    async with replica() as server:
        pairs = [("Origin", "http://localhost"), ("Origin", "http://evil.example")]
        with pytest.raises(InvalidStatus, match="400"):
            await server.call(additional_headers=pairs)


async def test_a_page_that_is_listed_may_connect() -> None:
    async with replica(access={"origins": ["https://shop.example"]}) as server:
        assert await is_admitted(await from_page(server, "https://shop.example"))
        for other in ("http://shop.example", "https://shop.example:444", "https://a.shop.example"):
            assert (await closing(await from_page(server, other)))[0] == 4403


# --- addresses that are made up ---


def forwarded_for(*values: str) -> dict[str, Any]:
    return {"additional_headers": [("X-Forwarded-For", value) for value in values]}


ONE_EACH = {"per_address": {"connections": 1}}


async def admitted(server: Replica, how: dict[str, Any]) -> bool:
    socket = await server.call(**how)
    try:
        return await is_admitted(socket)
    except Exception:
        code, said = socket.close_code, socket.close_reason
        assert code == 4402 and said == "this address has 1 connections: end one first"
        return False


async def test_forwarded_for_is_not_believed_unless_it_is_configured() -> None:
    async with replica(access=ONE_EACH) as server:
        assert await admitted(server, forwarded_for("10.0.0.1"))
        assert not await admitted(server, forwarded_for("10.0.0.2"))
        assert not await admitted(server, {})


async def test_of_forwarded_for_only_what_the_proxy_has_added_is_believed() -> None:
    access = {**ONE_EACH, "trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]}
    async with replica(access=access) as server:
        assert await admitted(server, forwarded_for("1.1.1.1"))
        assert not await admitted(server, forwarded_for("9.9.9.9, 1.1.1.1"))
        assert not await admitted(server, forwarded_for("9.9.9.9", "1.1.1.1"))
        assert not await admitted(server, forwarded_for("1.1.1.1, 10.2.3.4"))
        assert not await admitted(server, forwarded_for("2.2.2.2, 1.1.1.1, 10.2.3.4"))
        assert await admitted(server, forwarded_for("1.1.1.1, 2.2.2.2"))


# --- limits ---


async def test_a_key_has_its_connections_and_a_place_is_free_once_one_has_ended(
    keys: Path,
) -> None:
    async with guarded(keys, per_principal={"connections": 1}) as server:
        first = await server.call(**in_header(ADA))
        assert await is_admitted(first)
        second = await closing(await server.call(**in_header(ADA)))
        assert second == (4402, "this key has 1 connections: end one first")
        assert await is_admitted(await server.call(**in_header(BEN)))
        await first.send(msgpack.packb({"type": "close"}))
        assert (await closing(first))[0] == 1000
        assert await is_admitted(await server.call(**in_header(ADA)))


async def test_who_comes_back_is_not_kept_out_by_its_own_lost_connection(keys: Path) -> None:
    async with guarded(keys, per_principal={"connections": 1, "sessions_a_day": 1}) as server:
        first = await server.call(**in_header(ADA), say={"resume": True})
        token = (await next_message(first, "session"))["resume_token"]
        assert await is_admitted(first)
        await first.send(msgpack.packb({"type": "text", "text": "Hello."}))
        again = await server.call(**in_header(ADA), say={"resume_token": token})
        assert (await next_message(again, "session"))["resume_token"] != token
        assert (await closing(first))[0] == 4409


async def test_who_is_refused_by_one_limit_has_used_nothing_of_another(keys: Path) -> None:
    limits: dict[str, Any] = {"per_principal": {"sessions_a_day": 2}, **ONE_EACH}
    async with guarded(keys, **limits) as server:
        first = await server.call(**in_header(ADA))
        assert await is_admitted(first)
        for _ in range(3):
            code, said = await closing(await server.call(**in_header(ADA)))
            assert (code, said) == (4402, "this address has 1 connections: end one first")
        await first.send(msgpack.packb({"type": "close"}))
        assert (await closing(first))[0] == 1000
        assert await is_admitted(await server.call(**in_header(ADA)))


async def test_who_finds_no_place_has_used_none_of_its_sessions(keys: Path) -> None:
    access = {"keys_file": str(keys), "per_principal": {"sessions_a_day": 1}}
    async with replica(access=access, ingress={"max_sessions": 1}) as server:
        ada = await connect(server.url, proxy=None, **in_header(ADA))  # while there is a place
        ben = await server.call(**in_header(BEN))
        assert await is_admitted(ben)
        await ada.send(msgpack.packb(OPEN))
        assert await closing(ada) == (1013, "all sessions are taken: try again later")
        await ben.send(msgpack.packb({"type": "close"}))
        assert (await closing(ben))[0] == 1000
        assert await is_admitted(await server.call(**in_header(ADA)))


@pytest.mark.parametrize(
    "refuses",
    [
        {"admit": Mock(side_effect=AtCapacity("answers take 14 s now"))},
        {"check": AsyncMock(side_effect=ProtocolViolation("no such voice"))},
    ],
    ids=["slow answers", "a wrong option"],
)
async def test_who_is_refused_for_another_reason_has_used_none_of_its_sessions(
    keys: Path, refuses: dict[str, Any]
) -> None:
    async with guarded(keys, per_principal={"sessions_a_day": 1}) as server:
        ingress, services = server.ingress, server.ingress._services
        ingress._services = replace(services, **refuses)
        assert (await closing(await server.call(**in_header(ADA))))[0] in (1013, 4400)
        ingress._services = services
        assert await is_admitted(await server.call(**in_header(ADA)))


async def test_a_key_has_its_sessions_a_day(keys: Path) -> None:
    async with guarded(keys, per_principal={"sessions_a_day": 2}) as server:
        server.now_s = 1_800_000_000.0
        for _ in range(2):
            assert await is_admitted(await server.call(**in_header(ADA)))
        code, said = await closing(await server.call(**in_header(ADA)))
        assert code == 4402
        assert said == (
            "the 2 sessions a day of this key are used up: there are more at 2027-01-16T00:00:00Z"
        )
        server.now_s += 86_400
        assert await is_admitted(await server.call(**in_header(ADA)))


async def test_the_minutes_of_a_day_end_a_session(keys: Path) -> None:
    async with guarded(keys, per_principal={"minutes_a_day": 10}) as server:
        server.now_s = 1_800_000_000.0
        socket = await server.call(**in_header(ADA))
        assert await is_admitted(socket)
        server.now_s += 600
        code, said = await closing(socket)
        assert code == 4402 and said.startswith("the 10 minutes a day of this key are used up")
        assert (await closing(await server.call(**in_header(ADA))))[0] == 4402
        server.now_s += 86_400
        assert await is_admitted(await server.call(**in_header(ADA)))


# --- client keys ---


async def ask(server: Replica, credential: str = "", **body: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    async with httpx2.AsyncClient(trust_env=False) as http:
        url = f"http://{server.address}/client-keys"
        return await http.post(url, headers=headers, json=body or None)


async def client_key(server: Replica, **body: Any) -> str:
    answer = await ask(server, ADA, **body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["key"])


@pytest.mark.parametrize("place", PLACES)
async def test_a_client_key_opens_a_conversation_of_its_tenant(keys: Path, place: Place) -> None:
    async with guarded(keys) as server:
        token = await resumable(server, in_header(ADA))
        how = place(await client_key(server))
        say = {**how.pop("say", {}), "resume_token": token}
        socket = await server.call(**how, say=say)
        assert (await next_message(socket, "session"))["resume_token"] != token


async def test_a_client_key_ends_and_ends_its_session(keys: Path) -> None:
    async with guarded(keys) as server:
        server.now_s = began_s = time.time()
        key = await client_key(server, ttl_s=60)
        socket = await server.call(**in_subprotocol(key))
        assert await is_admitted(socket)
        server.now_s = began_s + 60
        assert (await closing(socket))[0] == 4511
        code, said = await closing(await server.call(**in_subprotocol(key)))
        assert code == 4401 and said.startswith("the client key has expired")


async def test_a_client_key_ends_with_the_key_that_it_was_made_for(keys: Path) -> None:
    async with guarded(keys) as server:
        key = await client_key(server)
        socket = await server.call(**in_subprotocol(key))
        assert await is_admitted(socket)
        write_keys(keys, Key("ben", hashed(BEN), 0.0))
        assert (await closing(socket))[0] == 4511
        assert (await closing(await server.call(**in_subprotocol(key))))[0] == 4401


async def test_another_replica_with_the_same_secret_takes_it_and_one_without_does_not(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with guarded(keys) as first, guarded(keys) as second:
        key = await client_key(first)
        assert await is_admitted(await second.call(**in_subprotocol(key)))
    monkeypatch.setenv("ECHO_CLIENT_KEY_SECRET", SECRET[::-1])
    async with guarded(keys) as third:
        assert (await closing(await third.call(**in_subprotocol(key))))[0] == 4401


async def test_a_client_key_is_changed_in_vain(keys: Path) -> None:
    async with guarded(keys) as server:
        body, _, signature = (await client_key(server)).removeprefix("echo_ck_").partition(".")
        fields = json.loads(base64.urlsafe_b64decode(body + "=="))
        longer = json.dumps(fields | {"exp": fields["exp"] + 1}).encode()
        forged = base64.urlsafe_b64encode(longer).rstrip(b"=").decode()
        key = f"echo_ck_{forged}.{signature}"
        assert (await closing(await server.call(**in_subprotocol(key))))[0] == 4401


async def test_who_may_have_client_keys(keys: Path) -> None:
    async with guarded(keys) as server:
        own = await client_key(server)
        for credential in ("", "wrong", OLD, own):
            answer = await ask(server, credential)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert "key" not in answer.json()
        for body in ({"ttl_s": 7201}, {"ttl_s": 0}, {"ttl_s": "1"}, {"ttl_s": True}, {"a": 1}):
            assert (await ask(server, ADA, **body)).status_code == 400
        assert (await ask(server, ADA, ttl_s=60, x="y" * 2000)).status_code == 400


async def test_client_keys_need_a_secret_and_keys(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replica() as server:
        assert (await ask(server, ADA)).status_code == 404
    monkeypatch.delenv("ECHO_CLIENT_KEY_SECRET")
    async with guarded(keys) as server:
        answer = await ask(server, ADA)
        assert answer.status_code == 501 and "ECHO_CLIENT_KEY_SECRET" in answer.json()["error"]
