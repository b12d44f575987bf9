"""Frames that are made to cost a server more than they cost their sender: what MessagePack allows
and no message of ours needs. Each is refused before it takes memory."""

from typing import Final

import msgpack

MOST_BYTES: Final = 1 << 20
"""Of a frame that is looked at."""
AUDIO: Final = b"\x82\xa4type\xa5audio\xa5audio"
_TEXT: Final = b"\x82\xa4type\xa4text\xa4text"
_OPEN: Final = b"\x82\xa4type\xa4open"
_WIDE: Final = "x" * 1000 + "\N{GRINNING FACE}"
"""Python stores each character of it in four bytes."""


def _filled(head: bytes, unit: bytes) -> bytes:
    """A frame of the most bytes."""
    return head + unit * ((MOST_BYTES - len(head)) // len(unit))


def _string(head: bytes, text: bytes) -> bytes:
    """A string that says how long it is, and is."""
    size = MOST_BYTES - len(head) - 5
    return head + b"\xdb" + size.to_bytes(4, "big") + _filled(b"", text).ljust(size, b"x")[:size]


def _backchannels(phrase: str, count: int) -> bytes:
    return bytes(msgpack.packb({"type": "open", "turn": {"backchannels": [phrase] * count}}))


BOMBS: Final[dict[str, bytes]] = {
    # lengths that are claimed
    "an array of 4 billion": b"\xdd\xff\xff\xff\xff",
    "a map of 4 billion": b"\xdf\xff\xff\xff\xff",
    "a string of 4 GB": _TEXT + b"\xdb\xff\xff\xff\xff",
    "binary of 4 GB": AUDIO + b"\xc6\xff\xff\xff\xff",
    "an ext type of 4 GB": AUDIO + b"\xc9\xff\xff\xff\xff\x01",
    "arrays that claim 60,000 items": b"\xdd\x00\x00\xea\x60" * 13_000,
    "arrays that claim 64 items": _filled(b"", b"\xdc\x00\x40"),
    "maps that claim 64 items": _filled(b"", b"\xde\x00\x40\xa1a"),
    # depth
    "depth of lists": _filled(b"", b"\x91"),
    "depth of maps": _filled(b"", b"\x81\xa1a"),
    "depth within a message": _filled(_OPEN + b"\xa4turn", b"\x81\xa1a"),
    # width
    "a million empty maps": b"\xdd\x00\x0f\xff\xfb" + b"\x80" * (MOST_BYTES - 5),
    "a million empty lists": b"\xdd\x00\x0f\xff\xfb" + b"\x90" * (MOST_BYTES - 5),
    "empty maps, 64 a list": b"\xdc\x00\x40" * 2 + b"\xdc\x00\x3f" + b"\x80" * 60_000,
    "lists of 64 empty maps": _filled(b"\xdc\x00\x40", b"\xdc\x00\x40" + b"\x80" * 64),
    "numbers as a list": bytes(msgpack.packb({"type": "audio", "audio": [0.0] * 100_000})),
    "numbers as a map": bytes(
        msgpack.packb({"type": "audio", "audio": {str(i): 0 for i in range(9000)}})
    ),
    "1,000 fields": bytes(msgpack.packb({"type": "close"} | {f"f{i}": i for i in range(1000)})),
    # strings
    "a text of 1 MiB": _string(_TEXT, b"x"),
    "a wide text of 1 MiB": _string(_TEXT, _WIDE.encode()),
    "a name of 1 MiB": _string(b"\x81", _WIDE.encode()),
    "a type of 1 MiB": _string(b"\x81\xa4type", _WIDE.encode()),
    "broken UTF-8": _string(_TEXT, b"\xff\xfe"),
    "wide strings, 64 of them": bytes(
        msgpack.packb({f"{i:02}": _WIDE[-1] + "x" * 16_000 for i in range(64)})
    ),
    "escapes in the reason": _string(b"\x81\xa4type", b"\x00"),
    # fields that are known and too long, and that are not known
    "unknown fields of 900 KB": bytes(msgpack.packb({"type": "close", "x": b"x" * 900_000})),
    "unknown fields beside audio": bytes(
        msgpack.packb({"type": "audio", "audio": b"", "x": b"x" * 900_000})
    ),
    "unknown fields of open": bytes(msgpack.packb({"type": "open", "x": b"x" * 900_000})),
    "unknown fields, 60 of 2 KB": bytes(
        msgpack.packb({"type": "text", "text": "Hi."} | {f"f{i}": "x" * 2000 for i in range(60)})
    ),
    "backchannels of 900 KB": _backchannels("x" * 900_000, 1),
    "64 backchannels of 14 KB": _backchannels("x" * 14_000, 64),
    "1,000 backchannels": _backchannels("yes", 1000),
    "an event of 900 KB": bytes(msgpack.packb({"type": "open", "events": ["x" * 900_000]})),
    # what is there twice, and ext types
    "the type is there twice": b"\x82\xa4type\xa5close\xa4type\xa4open",
    "a field is there twice": b"\x83\xa4type\xa4text\xa4text\xa1a\xa4text\xa1b",
    "a timestamp": bytes(msgpack.packb({"type": "audio", "audio": msgpack.Timestamp(1)})),
    "an ext type of 900 KB": bytes(
        msgpack.packb({"type": "audio", "audio": msgpack.ExtType(5, b"x" * 900_000)})
    ),
    "a key that is a number": b"\x81\x01\x02",
    "a key that is a map": b"\x81\x80\x02",
    "more than 1 MiB": b"\x00" * (MOST_BYTES + 1),
}
"""By what they are."""
