"""How a session ends at its socket, and whether it is kept for its client."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock, Mock

import msgpack
import numpy as np
import pytest
from starlette.websockets import WebSocket

from serve_app.conversation.piece import Piece
from serve_app.conversation.settings import FRAME_SAMPLES, TurnSettings
from serve_app.errors import AtCapacity, EngineError
from serve_app.ingress.driver import Driver, Services
from serve_app.ingress.load import Load
from serve_app.ingress.voice_activity import VoiceActivityBatcher
from serve_app.protocol.close_codes import may_come_back
from serve_app.protocol.messages import Open
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.leases import Lease, Leases
from serve_app.vad.jobs import VadAnswer, VadJob
from tests.sessions.stores import OWN, Stores

DEADLINE_S = 5.0
OPEN = {"type": "open", "prompt": "Be kind.", "greeting": False, "resume": True}
AUDIO = {"type": "audio", "audio": np.zeros(FRAME_SAMPLES, dtype="<f4").tobytes()}


class Client:
    """The other end of a driver's socket."""

    def __init__(self) -> None:
        self.sends: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gets: asyncio.Queue[Any] = asyncio.Queue()
        self.reads = asyncio.Event()
        """Set while it takes what it is sent."""
        self.reads.set()
        self.driver: Driver
        self.session: asyncio.Task[None]

    def send(self, message: dict[str, Any]) -> None:
        self.sends.put_nowait({"type": "websocket.receive", "bytes": msgpack.packb(message)})

    def hang_up(self) -> None:
        self.sends.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def take(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.gets.put_nowait(message)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            message: dict[str, Any] = await self.gets.get()
        return msgpack.unpackb(message["bytes"]) if "bytes" in message else message

    async def close_code(self) -> int:
        async with asyncio.timeout(DEADLINE_S):
            while (message := await self.next())["type"] != "websocket.close":
                pass
        return int(message["code"])


async def _whatever_it_asks(message: Open) -> Open:
    return message


class Replica:
    """What the sessions of an ingress replica share, with a VAD that may fail."""

    def __init__(self) -> None:
        self.stores = Stores(OWN)
        self.vad_fails = False
        self.settings = TurnSettings()
        actors = SessionActors(1, handles=self.stores)
        self.services = Services(
            AsyncMock(),
            VoiceActivityBatcher(self._detect, Load()),
            actors,
            Leases(actors),
            window_s=60.0,
            check=_whatever_it_asks,
        )

    async def _detect(self, jobs: list[VadJob]) -> list[VadAnswer]:
        if self.vad_fails:
            raise EngineError("vad", "ValueError")
        return [VadAnswer(job.row, job.frames[:, 0]) for job in jobs]

    @property
    def kept(self) -> list[str]:
        return list(self.stores.stores[OWN].entries)

    @asynccontextmanager
    async def client(self, name: str, event_log: Any = None) -> AsyncIterator[Client]:
        client = Client()
        socket = WebSocket({"type": "websocket"}, client.sends.get, client.take)
        client.sends.put_nowait({"type": "websocket.connect"})
        await socket.accept()
        await client.next()
        client.driver = Driver(name, socket, self.services, self.settings, event_log)
        client.session = asyncio.create_task(client.driver.run(open_timeout_s=30.0))
        yield client
        client.driver.leave()
        await client.session


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    replica = Replica()
    running = asyncio.create_task(replica.services.batcher.run())
    yield replica
    running.cancel()


def fail_the_vad(replica: Replica, client: Client) -> None:
    replica.vad_fails = True
    client.send(AUDIO)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda replica, client: client.send({"type": "close"}), 1000),
        (lambda replica, client: client.hang_up(), 1001),
        (fail_the_vad, 1011),
        (lambda replica, client: client.driver.drain(1.0), 1012),
        (lambda replica, client: client.send({"type": "dance"}), 4400),
    ],
    ids=["close", "gone", "failed", "stopping", "bad message"],
)
async def test_a_session_is_kept_if_its_client_may_come_back(
    replica: Replica, end: Callable[[Replica, Client], None], code: int
) -> None:
    async with replica.client("a") as client:
        client.send(OPEN)
        assert (await client.next())["type"] == "session"
        await replica.stores.has_saved.wait()
        end(replica, client)
        assert await client.close_code() == code
        await client.session
    assert replica.kept == (["a"] if may_come_back(code) else [])


async def test_an_owner_that_is_superseded_leaves_the_session_to_the_new_one(
    replica: Replica,
) -> None:
    async with replica.client("a") as first, replica.client("b") as second:
        first.send(OPEN)
        notice = await first.next()
        await replica.stores.has_saved.wait()
        second.send({"type": "open", "resume_token": notice["resume_token"]})
        assert (await second.next())["type"] == "session"
        assert await first.close_code() == 4409
        await first.session
        assert replica.kept == ["a"]


async def test_a_server_that_is_too_slow_lets_nobody_new_in_but_those_who_come_back(
    replica: Replica,
) -> None:
    async with replica.client("a") as first:
        token = await opened(replica, first)

    def refuse() -> None:
        raise AtCapacity("answers take 14 s now: try again in 30 s")

    replica.services = dataclasses.replace(replica.services, admit=refuse)
    async with replica.client("b") as second:
        second.send(OPEN)
        closing = await second.next()
        assert (closing["code"], closing["reason"]) == (
            1013,
            "answers take 14 s now: try again in 30 s",
        )
    async with replica.client("c") as third:
        third.send(resuming(token))
        assert (await third.next())["type"] == "session"


# --- two phases: a token ends when its successor has arrived ---


async def opened(replica: Replica, client: Client) -> str:
    """A new conversation's token."""
    client.send(OPEN)
    token = str((await client.next())["resume_token"])
    await replica.stores.has_saved.wait()
    return token


async def end_of_the_former_token(replica: Replica) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while replica.stores.stores[OWN].entries["a"].former_hash:
            replica.stores.has_saved.clear()
            await replica.stores.has_saved.wait()


def resuming(token: str) -> dict[str, Any]:
    return {"type": "open", "resume_token": token}


async def test_two_phases_a_connection_that_breaks_before_session_arrives_loses_nothing(
    replica: Replica,
) -> None:
    async with replica.client("a") as client:
        token = await opened(replica, client)
    async with replica.client("b") as broken, replica.client("c") as client:
        broken.send(resuming(token))
        assert (await broken.next())["type"] == "session", "which does not arrive"
        client.send(resuming(token))
        assert (await client.next())["type"] == "session"
        assert await broken.close_code() == 4409, "the newcomer has it"
        client.send(AUDIO)
        await end_of_the_former_token(replica)
    assert replica.kept == ["a"]
    async with replica.client("d") as late:
        late.send(resuming(token))
        assert await late.close_code() == 4404


async def test_two_phases_the_first_message_after_session_ends_the_former_token(
    replica: Replica,
) -> None:
    async with replica.client("a") as client:
        token = await opened(replica, client)
    async with replica.client("b") as second, replica.client("c") as third:
        second.send(resuming(token))
        assert (await second.next())["type"] == "session"
        second.send({"type": "state", "state": "waiting"})
        await end_of_the_former_token(replica)
        third.send(resuming(token))
        assert await third.close_code() == 4404
        second.send({"type": "close"})
        assert await second.close_code() == 1000


async def test_two_phases_what_was_sent_before_session_proves_nothing(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message was in the socket before the server had written `session` to it."""
    async with replica.client("a") as client:
        token = await opened(replica, client)
    async with replica.client("b") as client:
        written, may_write, heard = asyncio.Event(), asyncio.Event(), asyncio.Event()
        listen = Lease.heard_from_client
        monkeypatch.setattr(Lease, "heard_from_client", lambda lease: (listen(lease), heard.set()))

        async def slow(message: Any) -> None:
            written.set()
            await may_write.wait()
            await client.gets.put(message)

        client.driver._socket._socket._send = slow
        client.send(resuming(token))
        client.send({"type": "played", "token": "", "played_ms": 0})
        async with asyncio.timeout(DEADLINE_S):
            await written.wait()
            await heard.wait()
        assert client.driver._lease is not None and client.driver._lease.entry.former_hash
        may_write.set()
        assert (await client.next())["type"] == "session"
        client.send({"type": "played", "token": "", "played_ms": 0})
        await end_of_the_former_token(replica)


# --- the window ---


@pytest.mark.parametrize(("away_s", "code"), [(58, None), (61, 4404)])
async def test_the_window_counts_from_when_the_server_notices_the_loss(
    replica: Replica, away_s: float, code: int | None
) -> None:
    """A client that is frozen for 70 s, with a socket that nobody closes, is not lost yet."""
    async with replica.client("a") as frozen:
        token = await opened(replica, frozen)
        for _ in range(70):
            replica.stores.now_s += 1.0
            await replica.services.leases._renew()
        frozen.hang_up()
        await frozen.session
    replica.stores.now_s += away_s
    async with replica.client("b") as client:
        client.send(resuming(token))
        if code is None:
            assert (await client.next())["type"] == "session"
        else:
            assert await client.close_code() == code


async def test_a_mistake_of_ours_ends_one_session_and_no_other(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event comes from the loop of the VAD, which serves all sessions."""

    def break_down(event: object, now_s: float) -> list[Any]:
        raise ZeroDivisionError

    async with replica.client("a") as broken, replica.client("b") as whole:
        for client in (broken, whole):
            client.send(OPEN)
            assert (await client.next())["type"] == "session"
        monkeypatch.setattr(broken.driver._conversation, "handle", break_down)
        broken.send(AUDIO)
        assert await broken.close_code() == 1011
        whole.send(AUDIO)
        whole.send({"type": "close"})
        assert await whole.close_code() == 1000


@pytest.mark.parametrize("task", ["read", "write"])
async def test_a_session_without_its_reader_or_writer_ends(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    """It would keep its place, deaf or mute."""
    broken = AsyncMock(side_effect=ZeroDivisionError)
    monkeypatch.setattr(f"serve_app.ingress.socket.ClientSocket.{task}", broken)
    async with replica.client("a") as client:
        async with asyncio.timeout(DEADLINE_S + 1):
            await client.session
        assert client.driver.is_over


class Spoken:
    """In the place of a `ReplyCall`: pieces, and no end."""

    def __init__(self, *pieces: Piece) -> None:
        self._pieces = list(pieces)
        self.may_begin = asyncio.Event()
        self.are_sent = asyncio.Event()
        self.cancel = Mock()

    async def next(self) -> Piece:
        await self.may_begin.wait()
        if not self._pieces:
            self.are_sent.set()
            await asyncio.Event().wait()
        return self._pieces.pop(0)


async def test_what_waits_for_a_client_that_does_not_read_was_not_heard(replica: Replica) -> None:
    reply = Spoken(*(Piece(b"\1\0", f"{word} ", 0.02) for word in ("One", "two", "three")))
    replica.services.calls.say = Mock(return_value=reply)  # type: ignore[method-assign]
    async with replica.client("a") as client:
        client.send(OPEN | {"greeting": "One two three"})
        assert (await client.next())["type"] == "session"
        assert (await client.next())["type"] == "token"
        client.reads.clear()
        reply.may_begin.set()
        await reply.are_sent.wait()
        await asyncio.sleep(0.1)  # longer than the pieces play
        client.hang_up()
        client.driver.leave()
        client.reads.set()
        await client.session
    saved = replica.stores.stores[OWN].entries["a"].record.reply
    assert saved is not None and len(saved.pieces) == 3
    assert saved.played_s == 0


async def test_a_session_that_has_had_its_time_is_not_kept(replica: Replica) -> None:
    replica.settings = TurnSettings(max_session_s=1)
    async with replica.client("a") as client:
        client.send(OPEN | {"events": ["goaway"]})
        token = (await client.next())["resume_token"]
        goaway = await client.next()
        assert (goaway["type"], goaway["final"]) == ("goaway", True)
        assert await client.close_code() == 4411
        await client.session
    assert replica.kept == []
    async with replica.client("b") as client:
        client.send({"type": "open", "resume_token": token})
        assert await client.close_code() in (4404, 4503), "4503 while the actor is young"


async def test_a_full_disk_under_the_event_log_ends_the_log_only(replica: Replica) -> None:
    event_log = Mock()
    event_log.write.side_effect = event_log.close.side_effect = OSError("no space left")
    async with replica.client("a", event_log) as client:
        client.send(OPEN)
        assert (await client.next())["type"] == "session"
        await replica.stores.has_saved.wait()
        client.send({"type": "close"})
        assert await client.close_code() == 1000
        await client.session
    assert event_log.write.call_count == event_log.close.call_count == 1
    assert replica.kept == [], "the lease ended"
