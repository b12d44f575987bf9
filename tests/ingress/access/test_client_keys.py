"""Client keys: what a web page gets in the place of the key of its server."""

import asyncio
import base64
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serve_app.access.keys import Key, hashed
from serve_app.ingress.rest import bodies
from tests.ingress.access.guests import (
    ADA,
    BEN,
    OLD,
    PLACES,
    SECRET,
    Place,
    guarded,
    in_header,
    in_subprotocol,
    resumable,
    write_keys,
)
from tests.ingress.replica import DEADLINE_S, Replica, closing, is_admitted, next_message, replica

pytestmark = pytest.mark.timeout(60)


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


@pytest.mark.parametrize(
    ("length", "body", "status"), [(1024, "[" * 1024, 400), (100, "{", 408)], ids=["deep", "half"]
)
async def test_a_body_that_cannot_be_read_or_does_not_come(
    keys: Path, monkeypatch: pytest.MonkeyPatch, length: int, body: str, status: int
) -> None:
    monkeypatch.setattr(bodies, "_BODY_S", 0.2)
    async with guarded(keys) as server, asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(*server.address.split(":"))
        head = f"POST /client-keys HTTP/1.1\r\nHost: {server.address}\r\n"
        writer.write(
            f"{head}Authorization: Bearer {ADA}\r\nContent-Length: {length}\r\n\r\n{body}".encode()
        )
        assert int((await reader.readline()).split()[1]) == status
        writer.close()


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
