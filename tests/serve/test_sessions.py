"""The session actors of a running server, asked directly."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from serve_app.client.session import converse
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import EVENTS
from tests.serve.conftest import Server

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]


Records = Callable[[], Awaitable[Any]]


def recorded(server: Server) -> Any:
    return server.ask("ask_sessions")


@pytest.fixture(scope="module")
def own(server: Server) -> Records:
    """What is recorded of these tests' sessions: other tests' clients may still come back."""
    others = set(recorded(server))

    async def records() -> Any:
        found = await asyncio.to_thread(recorded, server)
        return {session: record for session, record in found.items() if session not in others}

    return records


async def test_a_session_is_recorded_until_it_ends(server: Server, own: Records) -> None:
    server.wait_until_idle()
    async with converse(server.url, parse_format("pcm_44100"), resume=True) as session:
        await session.open("Be brief.", EVENTS)
        greeting = (await session.next("transcript")).fields["text"]
        await session.next("state")
        (record,) = (await own()).values()
    assert [(m["role"], m["content"]) for m in record["history"]] == [
        ("system", "Be brief."),
        ("user", "Hello!"),
        ("assistant", greeting),
    ]
    assert record["tokens_issued"] == 1
    server.wait_until_idle()
    assert await own() == {}


async def test_a_session_without_resume_is_not_kept(server: Server, own: Records) -> None:
    async with converse(server.url, parse_format("pcm_44100")) as session:
        await session.open("Be brief.", EVENTS)
        await session.next("transcript")
        assert await own() == {}
    assert not [m for m in session.received if m.kind == "session"]


async def test_a_lost_socket_is_not_the_end(server: Server, own: Records) -> None:
    """The greeting is not said again, the history is whole, no token comes twice."""
    async with converse(server.url, parse_format("pcm_44100"), resume=True) as session:
        await session.open("Be brief.", EVENTS, greeting="Good morning.")
        await session.next("transcript")
        await session.lose_connection()
        await session.next("session")
        await session.send({"type": "text", "text": "What is two plus two?"})
        while (said := await session.next("transcript")).fields["role"] != "agent":
            assert said.fields["text"] == "What is two plus two?"
        (record,) = (await own()).values()
    assert session.resumes == 1
    assert [m["role"] for m in record["history"]] == ["system", *["user", "assistant"] * 2]
    assert record["history"][2]["content"] == "Good morning."
    tokens = [m.token for m in session.received if m.kind in ("token", "interrupt")]
    assert len(tokens) == len(set(tokens)) >= 2
    assert session.playback.stale_chunks == 0


async def ending(server: Server, token: str) -> tuple[int, str]:
    """The answer to an `open` with this token."""
    async with connect(server.url, max_size=None) as socket:
        await socket.send(msgpack.packb({"type": "open", "resume_token": token}))
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return closed.rcvd.code, closed.rcvd.reason


async def receive(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of this kind."""
    while True:
        fields: dict[str, Any] = msgpack.unpackb(await socket.recv())
        if fields["type"] == kind:
            return fields


async def test_a_token_ends_with_its_successor_and_the_older_socket_is_closed(
    server: Server,
) -> None:
    async with converse(server.url, parse_format("pcm_44100"), resume=True) as session:
        await session.open("Be brief.", EVENTS, greeting=False)
        token = (await session.next("session")).fields["resume_token"]
        await session.next("state")
        async with connect(server.url, max_size=None) as other, asyncio.timeout(30):
            await other.send(msgpack.packb({"type": "open", "resume_token": token}))
            await receive(other, "session")
            await session.listener
            assert session.close_code == 4409
            await other.send(msgpack.packb({"type": "text", "text": "Hello."}))
            await receive(other, "transcript")  # what came with it is saved before
            assert (await ending(server, token))[0] == 4404
            await other.send(msgpack.packb({"type": "close"}))


async def test_two_phases_a_connection_that_breaks_before_session_arrives_loses_nothing(
    server: Server, own: Records
) -> None:
    async with converse(server.url, parse_format("pcm_44100"), resume=True) as session:
        await session.open("Be brief.", EVENTS, greeting=False)
        token = (await session.next("session")).fields["resume_token"]
        await session.send({"type": "text", "text": "Hello."})
        await session.next("transcript")
        async with asyncio.timeout(60):
            for _ in range(3):
                async with connect(server.url, max_size=None) as other:
                    await other.send(msgpack.packb({"type": "open", "resume_token": token}))
                    await receive(other, "session")  # it is as if this had not arrived
                    other.transport.abort()
            async with connect(server.url, max_size=None) as other:
                await other.send(msgpack.packb({"type": "open", "resume_token": token}))
                assert (await receive(other, "session"))["text_id"] == 1
                await other.send(msgpack.packb({"type": "text", "text": "Hello.", "id": 1}))
                await other.send(msgpack.packb({"type": "text", "text": "And now?", "id": 2}))
                while (said := await receive(other, "transcript"))["role"] != "user":
                    pass
                assert said["text"] == "And now?"
                (record,) = (await own()).values()
                await other.send(msgpack.packb({"type": "close"}))
    asked = [m["content"] for m in record["history"] if m["role"] == "user"]
    assert " ".join(asked) == "Hello. And now?"


async def test_a_token_that_nobody_gave_out(server: Server) -> None:
    code, reason = await ending(server, f"{'0' * 32}.{'x' * 43}")
    assert (code, "open a new one" in reason) == (4404, True)
    assert (await ending(server, "no token"))[0] == 4404
