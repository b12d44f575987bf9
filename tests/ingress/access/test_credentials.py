"""Where a client says who it is, and what it is told if that is wrong."""

from pathlib import Path
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import connect

from serve_app.access.keys import hashed
from serve_app.client.conversation import ConversationClosed
from serve_app.client.conversation import connect as talking
from serve_app.client.session import converse
from serve_app.protocol.formats import parse_format
from tests.ingress.access.guests import (
    ADA,
    OLD,
    PLACES,
    Place,
    guarded,
    in_header,
    in_open,
    in_subprotocol,
)
from tests.ingress.replica import OPEN, closing, is_admitted, replica

pytestmark = pytest.mark.timeout(60)


async def test_a_client_that_has_shown_no_key_does_not_wait_long(keys: Path) -> None:
    """Only a page whose key is in its handshake may wait for its visitor's click."""
    async with guarded(keys, key_timeout_s=0.2) as server:
        known = await connect(server.url, proxy=None, **in_header(ADA))
        unknown = await connect(server.url, proxy=None)
        assert (await closing(unknown))[0] == 4408
        await known.send(msgpack.packb(OPEN))
        assert await is_admitted(known)
        await known.close()


@pytest.mark.parametrize("place", [in_header, in_subprotocol])
async def test_a_wrong_key_in_the_handshake_is_refused_before_any_message(
    keys: Path, place: Place
) -> None:
    async with guarded(keys) as server, connect(server.url, proxy=None, **place("wrong")) as socket:
        assert (await closing(socket))[0] == 4401


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
