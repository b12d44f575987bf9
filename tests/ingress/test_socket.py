"""The socket of a session: order, bounds and the close frame."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import numpy as np
import pytest
from starlette.websockets import WebSocket

from serve_app.conversation import events as ev
from serve_app.errors import ProtocolViolation, TooFast, TooSlow, VoiceError
from serve_app.ingress import socket as socket_module
from serve_app.ingress.client_events import event_of
from serve_app.ingress.outbox import MOST_BYTES
from serve_app.ingress.socket import ClientSocket
from serve_app.protocol.messages import (
    AgentAudio,
    Audio,
    ClientMessage,
    ErrorNotice,
    Interrupt,
    ServerMessage,
    Token,
)
from serve_app.protocol.wire import AudioFrame, Reading, Wire, Writing
from serve_app.settings.limits import MessageLimits

DEADLINE_S = 5.0
CLOSE = {"type": "websocket.close", "code": 1000, "reason": "bye"}


class Client:
    """The other end of an accepted socket."""

    def __init__(self) -> None:
        self.sends: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.errors: list[VoiceError] = []
        self.has_failed = asyncio.Event()
        self.backlogs: list[int] = []
        self.reads = asyncio.Event()
        """Set while it takes what it is sent."""
        self.reads.set()
        self.socket: ClientSocket

    def fail(self, error: VoiceError) -> None:
        self.errors.append(error)
        self.has_failed.set()

    async def take(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.got.put_nowait(message)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            message = await self.got.get()
        return msgpack.unpackb(message["bytes"]) if "bytes" in message else message


@asynccontextmanager
async def accepted(
    wire: Wire | None = None, limits: MessageLimits | None = None
) -> AsyncIterator[Client]:
    client = Client()
    socket = WebSocket({"type": "websocket"}, client.sends.get, client.take)
    client.sends.put_nowait({"type": "websocket.connect"})
    await socket.accept()
    await client.next()
    client.socket = ClientSocket(socket, client.fail, client.backlogs.append, limits, wire)
    yield client


async def test_what_is_sent_after_a_barrier_waits_for_it_and_the_close_frame_is_last() -> None:
    safe = asyncio.Event()

    async def until_safe() -> None:
        await safe.wait()

    async with accepted() as client:
        client.socket.send(Token("token001"))
        client.socket.barrier(until_safe)
        client.socket.send(Token("token002"))
        client.socket.close(1000, "bye")
        writer = asyncio.create_task(client.socket.write())
        assert (await client.next())["token"] == "token001"
        await asyncio.sleep(0)
        assert client.got.empty()
        safe.set()
        assert (await client.next())["token"] == "token002"
        assert await client.next() == CLOSE
        await writer


async def test_a_client_that_reads_nothing_is_told_so_at_the_end() -> None:
    async with accepted() as client:
        for _ in range(2000):
            client.socket.send(Token("token001"))
        assert client.errors and all(isinstance(error, TooSlow) for error in client.errors)
        client.socket.close(4508, "x" * 200)
        client.socket.send(Token("token002"))  # too late
        await client.socket.write()
        *_, last = [client.got.get_nowait() for _ in range(client.got.qsize())]
        assert last == {"type": "websocket.close", "code": 4508, "reason": "x" * 123}


async def test_what_waits_is_bounded_in_bytes_too() -> None:
    """A thousand long messages are a hundred times as much as a thousand short ones."""
    async with accepted() as client:
        sent = 0
        while not client.errors and sent < 1000:
            client.socket.send(ErrorNotice(1, "llm", "x" * 100_000))
            sent += 1
        assert isinstance(client.errors[0], TooSlow)
        assert (sent - 2) * 100_000 < MOST_BYTES < sent * 100_100
        client.socket.close(4508, "why")
        await client.socket.write()
        assert await client.next() == {"type": "websocket.close", "code": 4508, "reason": "why"}


# --- a client that reads slowly ---


def audio(number: int) -> AgentAudio:
    return AgentAudio("token001", bytes([number, 0]))


async def started(client: Client) -> asyncio.Task[bool]:
    """The writer, which has begun to write what there is."""
    writer = asyncio.create_task(client.socket.write())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return writer


async def rest(client: Client, writer: asyncio.Task[bool]) -> list[Any]:
    """All that the client gets once it reads again."""
    client.socket.close(1000, "bye")
    client.reads.set()
    async with asyncio.timeout(DEADLINE_S):
        await writer
    messages = [await client.next() for _ in range(client.got.qsize())]
    return [m.get("token") or m.get("audio", b"")[8:9] or m.get("code") for m in messages]


async def test_an_interrupt_goes_out_before_audio_that_is_dead() -> None:
    """It waited behind up to 1,024 messages that the client would drop."""
    async with accepted() as client:
        client.reads.clear()
        client.socket.send(Token("token001"))
        for number in range(1, 4):
            client.socket.send(audio(number))
        writer = await started(client)
        client.socket.send(Interrupt("token002"))
        client.socket.send(AgentAudio("token002", b"\x09\0"))
        assert await rest(client, writer) == ["token001", "token002", b"\x09", 1000]


async def test_audio_that_is_being_written_cannot_be_taken_back() -> None:
    async with accepted() as client:
        client.reads.clear()
        client.socket.send(audio(1))
        client.socket.send(audio(2))
        writer = await started(client)
        client.socket.send(Interrupt("token002"))
        assert await rest(client, writer) == [b"\x01", "token002", 1000]
        assert client.backlogs == [], "nobody asked, and what was written is dead"


async def test_audio_that_is_written_at_once_needs_no_word() -> None:
    async with accepted() as client:
        writer = asyncio.create_task(client.socket.write())
        for number in range(1, 4):
            client.socket.send(audio(number))
            await client.next()
            client.socket.tell_backlog()
        assert client.backlogs == []
        await rest(client, writer)


async def test_a_backlog_that_was_told_is_followed_until_there_is_none() -> None:
    """Or the conversation would wait for ever for what is written already."""
    async with accepted() as client:
        client.socket.send(audio(1))
        client.socket.send(audio(2))
        client.socket.tell_backlog()
        client.socket.tell_backlog()
        await rest(client, await started(client))
        assert client.backlogs == [2, 1, 0]


async def test_audio_that_is_written_late_is_told_before_and_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Although nobody asked in between: playback began later than it was sent."""
    monkeypatch.setattr(socket_module, "_LATE_S", 0.0)
    async with accepted() as client:
        client.socket.send(audio(1))
        await rest(client, await started(client))
        assert client.backlogs == [1, 0]


async def test_what_waits_behind_a_barrier_is_not_written() -> None:
    safe = asyncio.Event()

    async def until_safe() -> None:
        await safe.wait()

    async with accepted() as client:
        client.socket.barrier(until_safe)
        client.socket.send(audio(1))
        writer = await started(client)
        client.socket.tell_backlog()
        safe.set()
        await rest(client, writer)
        assert client.backlogs == [1, 0]


async def test_a_client_that_takes_no_message_for_long_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket_module, "_STUCK_S", 0.01)
    async with accepted() as client:
        client.reads.clear()
        client.socket.send(audio(1))
        writer = asyncio.create_task(client.socket.write())
        async with asyncio.timeout(DEADLINE_S):
            await client.has_failed.wait()
        assert isinstance(client.errors[0], TooSlow)
        client.socket.close(4508, "the client does not read")
        client.reads.set()
        assert await client.next() == CLOSE | {"code": 4508, "reason": "the client does not read"}
        assert await writer


# --- from the client ---


async def test_frames_become_events_until_the_client_is_gone_or_wrong() -> None:
    events: list[ev.Event] = []

    async def receive(message: ClientMessage) -> None:
        events.append(event_of(message))

    async with accepted() as client:
        typed = msgpack.packb({"type": "text", "text": "Hello."})
        client.sends.put_nowait({"type": "websocket.receive", "bytes": typed})
        client.sends.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await client.socket.read(receive)
    assert events == [ev.TextReceived("Hello.")]
    async with accepted() as client:
        client.sends.put_nowait({"type": "websocket.receive", "text": "hello"})
        with pytest.raises(ProtocolViolation):
            await client.socket.read(receive)


# --- another protocol ---


class Loud:
    """A protocol in which each message is three frames of text, and audio is repeated tenfold."""

    def greeting(self) -> list[str]:
        return ["welcome"]

    def read(self, frame: bytes | str) -> Reading:
        return Reading((Audio(np.zeros(10 * len(frame), np.float32)),), ["heard"])

    def write(self, message: ServerMessage) -> Writing:
        name = type(message).__name__
        return ["next:", AudioFrame(name) if isinstance(message, AgentAudio) else name, "end"]

    def farewell(self, code: int, reason: str) -> list[str]:
        return [f"{code}: {reason}"]


async def test_a_protocol_says_what_goes_over_the_socket() -> None:
    async with accepted(Loud()) as client:
        client.socket.greet(lambda: None)
        client.socket.send(Token("token001"))
        client.socket.close(4400, "no")
        assert await client.socket.write()
        said = [(await client.next()).get("text") for _ in range(5)]
        assert said == ["welcome", "next:", "Token", "end", "4400: no"]
        assert await client.next() == CLOSE | {"code": 4400, "reason": "no"}


async def test_only_the_audio_of_a_reply_is_dropped_when_it_is_interrupted() -> None:
    async with accepted(Loud()) as client:
        client.socket.send(audio(1))
        client.socket.send(Interrupt("token002"))
        client.socket.close(1000, "bye")
        await client.socket.write()
        said = [(await client.next()).get("text") for _ in range(6)]
        assert said == ["next:", "end", "next:", "Interrupt", "end", "1000: bye"]


async def test_who_does_not_read_is_told_by_the_close_frame_alone() -> None:
    async with accepted(Loud()) as client:
        client.socket.close(4508, "slow")
        await client.socket.write()
        assert (await client.next())["code"] == 4508


async def test_an_answer_is_sent_before_the_message_is_handed_on() -> None:
    async with accepted(Loud()) as client:
        client.sends.put_nowait({"type": "websocket.receive", "text": "a"})
        client.sends.put_nowait({"type": "websocket.disconnect", "code": 1001})

        async def receive(message: ClientMessage) -> None:
            client.socket.send(Token("token001"))

        await client.socket.read(receive)
        client.socket.close(1000, "bye")
        await client.socket.write()
        assert [(await client.next()).get("text") for _ in range(2)] == ["heard", "next:"]


async def test_audio_that_was_packed_closely_counts_as_what_it_is() -> None:
    """Or a client could have a server listen to many times what it may send."""
    rates = {"real_time": 1, "burst_s": 1, "patience_s": 0.01}
    async with accepted(Loud(), MessageLimits.model_validate(rates)) as client:
        for _ in range(3):
            client.sends.put_nowait({"type": "websocket.receive", "text": "a" * 20_000})

        async def receive(message: ClientMessage) -> None:
            pass

        with pytest.raises(TooFast):
            await client.socket.read(receive)
