"""The bounds of JSON, which OpenAI's protocol and the telephone's have in common: what is over one
is refused before it takes memory, by an `error` event or with 4400."""

import json
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from serve_app.protocol import json_frames
from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.json_frames import BadJson
from serve_app.protocol.limits import DEFAULT_FRAMES
from serve_app.protocol.realtime.options import Defaults
from serve_app.protocol.realtime.wire import RealtimeWire
from serve_app.protocol.telephony.wire import TelephonyWire
from serve_app.protocol.violation import ProtocolViolation

MOST = 4 * DEFAULT_FRAMES.text_bytes
"""Characters of a message that is not audio."""
WITHIN = 8 << 20
"""Bytes of memory, while any of these is read."""


def filled(part: str, size: int = MOST - 100) -> str:
    """A list of many of these."""
    return f"[{','.join([part] * (size // (len(part) + 1) - 1))}]"


def fields(value: str, size: int = MOST - 100) -> str:
    parts = (f'"{number}":{value}' for number in range(size // (len(value) + 9)))
    return f"{{{','.join(parts)}}}"


REFUSED = {
    "binary": (b"{}", "invalid_frame"),
    "no JSON": ("{", "invalid_json"),
    "no object": ("[]", "invalid_json"),
    "not a number": ('{"type": NaN}', "invalid_json"),
    "infinite": ('{"type": -Infinity}', "invalid_json"),
    "an integer of 5,000 digits": (f'{{"type": {"1" * 5000}}}', "invalid_json"),
    "an integer of a million digits": (f'{{"type": {"1" * 1_000_000}}}', "invalid_json"),
    "half a character": ('{"type": "\\ud8"}', "invalid_json"),
    "deep, without an end": ('{"type": ' + "[" * 100_000, "invalid_json"),
    "deep": ('{"type": ' + "[" * 50_000 + "]" * 50_000 + "}", "invalid_json"),
    "deep objects": ('{"a":' * 20_000 + "1" + "}" * 20_000, "invalid_json"),
    "too long": (f'{{"type": {filled("[]", MOST + 100)}}}', "message_too_big"),
    "a million lists": (f'{{"type": {filled("[]", 3_000_000)}}}', "message_too_big"),
    "a million fields": (fields("1", 8_000_000), "message_too_big"),
}
"""Frames, and why."""
TAKEN = {
    "lists": filled("[]"),
    "objects": filled("{}"),
    "fields": fields("{}"),
    "numbers": filled("1.5"),
    "strings": filled('"\\u1234"'),
    "one string": json.dumps("\U0001f600" * (MOST * 6)),
}
"""What may be in a frame, at its most."""


@pytest.fixture
def memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_over_a_bound_is_refused_before_it_takes_memory(name: str) -> None:
    frame, code = REFUSED[name]
    with pytest.raises(BadJson) as caught:
        json_frames.parsed(frame, DEFAULT_FRAMES)
    assert caught.value.code == code
    assert tracemalloc.get_traced_memory()[1] < WITHIN


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("name", TAKEN)
def test_nor_does_what_is_below_it_take_much(name: str) -> None:
    frame = f'{{"type": {TAKEN[name]}}}'
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    json_frames.parsed(frame, DEFAULT_FRAMES)
    assert tracemalloc.get_traced_memory()[1] - before < WITHIN


def realtime(frame: bytes | str) -> str:
    """What a client is told by the code of the `error` event."""
    reading = RealtimeWire("abc", Defaults()).read(frame)
    assert not reading.messages
    return str(json.loads(reading.answers[0])["error"]["code"])


def telephony(frame: bytes | str) -> str:
    """What the close frame says."""
    with pytest.raises(ProtocolViolation) as caught:
        TelephonyWire().read(frame)
    assert caught.value.close_code == CloseCode.BAD_MESSAGE
    return caught.value.reason


@pytest.mark.parametrize("name", REFUSED)
def test_each_protocol_refuses_it_in_its_way(name: str) -> None:
    frame, code = REFUSED[name]
    assert realtime(frame) == code
    with pytest.raises(BadJson) as caught:
        json_frames.parsed(frame, DEFAULT_FRAMES)
    assert telephony(frame) == caught.value.message and len(caught.value.message) <= 123


READERS: dict[str, Callable[[str], object]] = {
    "realtime": RealtimeWire("abc", Defaults()).read,
    "telephony": TelephonyWire().read,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("depth", [50, 200, 400, 700, 900, 990])
@pytest.mark.parametrize("name", ["type", "event", "session"])
def test_no_depth_that_is_read_is_too_deep_to_be_refused(
    reader: str, depth: int, name: str
) -> None:
    """What is refused is quoted, and that goes as deep as reading it did."""
    fields = {"type": "session.update", "event": "start", "start": {}}
    frame = json.dumps({**fields, name: "@"}).replace('"@"', "[" * depth + "]" * depth)
    try:
        READERS[reader](frame)
    except ProtocolViolation as violation:
        assert len(violation.reason) < 200


@pytest.mark.parametrize("encoded", ["%", "A", "AAA", "AAAA=AAA", "\U0001f600", "AA AA", "AAAA\n"])
def test_only_base64_is_base64(encoded: str) -> None:
    with pytest.raises(ValueError, match="not base64"):
        json_frames.binary(encoded)
    assert json_frames.binary("AAAA") == bytes(3)
