"""What the framing cases of the Autobahn test suite that reach a server end with, at the real web
server: a documented close code, or a proper answer."""

import msgpack
import pytest

from tests.ingress.raw_client import (
    BINARY,
    CLOSE,
    CONT,
    OPEN,
    PING,
    PONG,
    TEXT,
    connected,
    frame,
    message,
)  # fmt: skip
from tests.ingress.real_ingress import serving

BYE = message(type="close")
STATE = msgpack.packb({"type": "state", "state": "waiting"})


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


CASES = {
    "a reserved bit": (frame(BINARY, STATE, reserved=1), 1002),
    "another one": (frame(BINARY, STATE, reserved=2), 1002),
    "the bit of compression, which was not agreed": (frame(BINARY, STATE, reserved=4), 1002),
    "a reserved bit in a ping": (frame(PING, reserved=4), 1002),
    "an unknown opcode": (frame(0x3, STATE), 1002),
    "an unknown control opcode": (frame(0xB), 1002),
    "a ping of 126 bytes": (frame(PING, bytes(126)), 1002),
    "a close frame of 126 bytes": (closing(1000, bytes(124)), 1002),
    "a ping in parts": (frame(PING, b"a", fin=False), 1002),
    "a close frame in parts": (frame(CLOSE, fin=False), 1002),
    "a continuation of nothing": (frame(CONT, STATE), 1002),
    "a continuation of nothing that goes on": (frame(CONT, STATE, fin=False), 1002),
    "a message within a message": (frame(BINARY, b"a", fin=False) + frame(BINARY), 1002),
    "a frame without a mask": (frame(BINARY, STATE, is_masked=False), 1002),
    "a close code that is none": (closing(999), 1002),
    "the close code that is never sent": (closing(1005), 1002),
    "a close code that is reserved": (closing(1016), 1002),
    "a close code above all": (closing(5000), 1002),
    "half a close code": (frame(CLOSE, b"\x03"), 1002),
    "a close reason that is not UTF-8": (closing(1000, b"\xff"), 1007),
    "a text that is not UTF-8": (frame(TEXT, b"\xce\xba\xff"), 1007),
    "a text that is not UTF-8 where it is joined": (
        frame(TEXT, b"\xce", fin=False) + frame(CONT, b"\xff"),
        1007,
    ),
    "a text": (frame(TEXT, b"hello"), 1003),
    "a message that is too long": (frame(BINARY, bytes((1 << 20) + 1)), 1009),
    "a message that becomes too long": (
        frame(BINARY, bytes(1 << 20), fin=False) + frame(CONT, b"a"),
        1009,
    ),
    "an empty message": (frame(BINARY), 1007),
    "a close frame": (closing(1000), 1000),
    "a close frame with a code of ours": (closing(4123), 4123),
    "a close frame without a code": (frame(CLOSE), 0),
}


@pytest.mark.parametrize(("sent", "code"), CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("begin", [b"", OPEN], ids=["before open", "after open"])
async def test_each_ends_with_a_documented_code(sent: bytes, code: int, begin: bytes) -> None:
    async with serving() as server, connected(server.port) as client:
        client.send(begin + sent)
        assert await client.close_code() == code
        client.send(closing(1000))
        await client.is_cut()


async def test_a_message_in_parts_with_a_ping_between_them_is_one_message() -> None:
    async with serving() as server, connected(server.port) as client:
        client.send(OPEN + frame(BINARY, STATE[:5], fin=False) + frame(PING, b"still there?"))
        pong = await client.next()
        while pong.opcode != PONG:
            pong = await client.next()
        assert pong.data == b"still there?"
        client.send(frame(CONT, STATE[5:9], fin=False) + frame(CONT, STATE[9:]))
        client.send(BYE)
        assert await client.close_code() == 1000


async def test_pings_that_come_together_have_one_answer() -> None:
    """RFC 6455 5.5.3 allows it, and it makes a flood of pings no flood of pongs."""
    async with serving() as server, connected(server.port) as client:
        client.send(b"".join(frame(PING, b"%d" % number) for number in range(5)))
        client.send(BYE)
        frames = [await client.next()]
        while frames[-1].opcode != CLOSE:
            frames.append(await client.next())
    assert [frame.data for frame in frames if frame.opcode == PONG] == [b"4"]
    assert frames[-1].close_code == 1000


async def test_pongs_that_nobody_asked_for_are_ignored() -> None:
    async with serving() as server, connected(server.port) as client:
        client.send(frame(PONG, b"hello") + BYE)
        assert await client.close_code() == 1000
