"""MessagePack, as far as a message needs it: anything else is refused before it costs memory."""

import re
import reprlib
from collections.abc import Iterable
from typing import Any, Final

import msgpack

from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.limits import MAX_KEY_BYTES, FrameLimits
from serve_app.protocol.violation import ProtocolViolation

_MAX_ITEMS: Final = 64
"""Of a list or a map."""
_MAX_CONTAINERS: Final = 16
"""Lists and maps in a message; `open` has four. An empty map costs one byte on the wire and 64 in
memory."""
_TIMESTAMP: Final = -1
_AUDIO_LIST: Final = re.compile(rb"\xa5audio[\x90-\x9f\xdc\xdd\x80-\x8f\xde\xdf]")
"""The field `audio` with a list or a map in it: looked for in a message that cannot be taken."""
AUDIO_IN_A_LIST: Final = (
    "audio: numbers in a list or a map: send the bytes of the float32 samples as MessagePack binary"
)


def unpack(frame: bytes, limits: FrameLimits) -> dict[str, Any]:
    """The fields of the map in a frame, each once. Raises ProtocolViolation."""
    if len(frame) > limits.message_bytes:
        raise ProtocolViolation(
            f"message of {len(frame)} bytes: at most {limits.message_bytes} are taken",
            CloseCode.TOO_BIG,
        )
    count = _Containers()
    longest = max(2 * limits.text_bytes, MAX_KEY_BYTES)
    try:
        # The limits matter: without them, 64 KiB of nested array headers take 67 MB, and 1 MiB of
        # empty maps 64 MB.
        fields = msgpack.unpackb(
            frame,
            max_array_len=_MAX_ITEMS,
            max_map_len=_MAX_ITEMS,
            max_str_len=longest,
            strict_map_key=True,
            ext_hook=_refuse_ext,
            list_hook=count.take_list,
            object_pairs_hook=count.take_map,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        if "max_str_len" in str(error):
            raise ProtocolViolation(
                f"a string of more than {longest} bytes; audio is sent as MessagePack binary"
            ) from None
        if _AUDIO_LIST.search(frame):
            raise ProtocolViolation(AUDIO_IN_A_LIST) from None
        raise ProtocolViolation("not a valid MessagePack message", CloseCode.NOT_MSGPACK) from None
    if not isinstance(fields, dict):
        raise ProtocolViolation("a message is a MessagePack map with a 'type'")
    return fields


class _Containers:
    """Counts the lists and maps of one message while it is decoded."""

    def __init__(self) -> None:
        self._left = _MAX_CONTAINERS

    def take_list(self, items: list[Any]) -> list[Any]:
        self._take()
        _refuse_timestamps(items)
        return items

    def take_map(self, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        """Of a field that is there twice, another library might take the other one."""
        self._take()
        fields = dict(pairs)
        _refuse_timestamps(fields.values())
        if len(fields) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ProtocolViolation(f"the field {shown(twice)} is there twice")
        return fields

    def _take(self) -> None:
        if not self._left:
            raise ProtocolViolation(f"more than {_MAX_CONTAINERS} lists and maps in a message")
        self._left -= 1


def _refuse_ext(code: int, data: bytes) -> None:
    """No message has an ext type, but some libraries make one of a Float32Array."""
    raise ProtocolViolation(
        f"ext type {code} is not taken: send audio as binary, in JavaScript"
        " new Uint8Array(samples.buffer)"
    )


def _refuse_timestamps(values: Iterable[Any]) -> None:
    """The one ext type that msgpack takes without asking `_refuse_ext`."""
    if any(isinstance(value, msgpack.Timestamp) for value in values):
        _refuse_ext(_TIMESTAMP, b"")


def shown(value: object) -> str:
    """A client's value, short enough for a close reason, which RFC 6455 limits to 123 bytes."""
    return reprlib.repr(value).encode("ascii", "backslashreplace").decode()[:32]
