"""`python -m bench.fuzz_frames --count 100000`: what a client may send, and much that it may not.

Frames are made by hypothesis: good messages, messages with wrong values in them, good frames with
bytes changed, left out, doubled and put in, and the bombs. Each one goes the way of a frame in the
ingress: it is decoded, heard by the microphone's check and taken by a conversation, which is a new
one after each close. Anything but a ProtocolViolation is a failure, and hypothesis then shows the
smallest frame that does it.
"""

import argparse
import gc
import random
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from bench.frame_bombs import BOMBS
from serve_app.conversation import events as ev
from serve_app.conversation.effects import CloseSocket, Detect, Effect, Reply
from serve_app.conversation.machine import Conversation
from serve_app.conversation.piece import Piece
from serve_app.conversation.settings import CLIENT_SETTINGS, FRAME_SAMPLES, TurnSettings
from serve_app.errors import ProtocolViolation
from serve_app.ingress.client_events import event_of
from serve_app.protocol.codec import decode
from serve_app.protocol.messages import EVENTS, SAMPLE_RATES_HZ, Audio
from serve_app.protocol.microphone import Microphone

# --- frames ---

_TEXTS = st.text(max_size=60)
_NUMBERS = st.one_of(st.integers(-(1 << 63), (1 << 64) - 1), st.floats(), st.booleans())
_ANYTHING = st.recursive(
    st.one_of(st.none(), _NUMBERS, _TEXTS, st.binary(max_size=60)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(_TEXTS, inner, max_size=4)
    ),
    max_leaves=12,
)
_SAMPLES = st.one_of(
    st.binary(max_size=4 * FRAME_SAMPLES),
    st.lists(st.floats(width=32), max_size=64).map(lambda s: np.array(s, "<f4").tobytes()),
    st.sampled_from([np.nan, np.inf, -np.inf, 1e-40, 3e38, 0.5]).map(
        lambda value: np.full(FRAME_SAMPLES, value, "<f4").tobytes()
    ),
)
_TURN = st.dictionaries(
    st.sampled_from([*sorted(CLIENT_SETTINGS), "preset", "lead_ms"]),
    st.one_of(st.integers(-10, 4000), st.floats(0, 1), st.booleans(), st.lists(_TEXTS, max_size=5)),
    max_size=4,
)
_FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "open": {
        "prompt": _TEXTS,
        "greeting": st.one_of(st.none(), st.just(False), _TEXTS),
        "events": st.lists(st.sampled_from(sorted(EVENTS)), max_size=9),
        "language": st.sampled_from(["", "en", "de", "auto", "xx"]),
        "voice": _TEXTS,
        "sample_rate_hz": st.sampled_from([0, *SAMPLE_RATES_HZ, 11_025]),
        "turn": _TURN,
        "resume": st.booleans(),
        "resume_token": st.just(""),
        "played": st.fixed_dictionaries({"token": _TEXTS, "played_ms": st.floats(0, 1e9)}),
    },
    "audio": {"audio": _SAMPLES},
    "state": {"state": st.just("waiting")},
    "text": {"text": _TEXTS, "id": st.integers(0, 1 << 53)},
    "interrupt": {},
    "played": {"token": _TEXTS, "played_ms": st.floats(0, 1e9)},
    "close": {},
}


def _packed(fields: dict[str, Any]) -> bytes:
    return bytes(msgpack.packb(fields))


@st.composite
def _messages(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(sorted(_FIELDS)))
    optional = {name: value for name, value in _FIELDS[kind].items() if name != kind}
    required = {name: value for name, value in _FIELDS[kind].items() if name == kind}
    return {"type": kind, **draw(st.fixed_dictionaries(required, optional=optional))}


@st.composite
def _wrong(draw: st.DrawFn) -> dict[str, Any]:
    """A message with other values in it, and fields that nobody knows."""
    message = draw(_messages())
    name = draw(st.sampled_from([*sorted(message), "new"]))
    return message | {name: draw(_ANYTHING)}


FRAMES: st.SearchStrategy[bytes | str] = st.one_of(
    *(_messages().map(_packed) for _ in range(3)),  # the same one three times would count as one
    _wrong().map(_packed),
    st.tuples(_messages(), _messages()).map(lambda two: _packed(two[0]) + _packed(two[1])),
    st.binary(max_size=200),
    st.sampled_from(sorted(BOMBS)).map(BOMBS.__getitem__),
    _TEXTS,
)
_MUTANTS = 19
"""Of each frame: hypothesis takes a hundred times as long for a frame as a mutation does."""
_LONGEST = 8192
"""A frame that is mutated has at most this many bytes."""
_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1 << 53, (1 << 64) - 1, -(1 << 63), float("nan"), float("inf"), -0.0, 1e308,
    "", " ", "\0", "x" * 129, "x" * 33_000, "\u202e\N{GRINNING FACE}", b"", b"123", bytes(64), [],
    {},
    [[]], [None], [0.5] * 65, {"a": {}}, {"x": "x"}, {"preset": []}, msgpack.ExtType(1, b"x"),
)  # fmt: skip
"""Values for fields that are meant to have others."""


def mutants(frame: bytes | str, seed: int) -> Iterator[bytes]:
    """The frame with one of its values changed, or up to three of its bytes."""
    chance = random.Random(seed)
    start = frame.encode() if isinstance(frame, str) else frame[:_LONGEST]
    fields = _fields(start)
    for number in range(_MUTANTS):
        is_whole = fields and number % 2
        yield _odd(fields, chance) if is_whole else _broken(start, chance)


def _fields(frame: bytes) -> dict[Any, Any]:
    try:
        fields = msgpack.unpackb(frame)
    except (ValueError, msgpack.UnpackException):
        return {}
    return fields if isinstance(fields, dict) else {}


def _odd(fields: dict[Any, Any], chance: random.Random) -> bytes:
    name = chance.choice([*fields, *_FIELDS.get(str(fields.get("type")), {}), "new"])
    return _packed(fields | {name: chance.choice(_ODD)})


def _broken(start: bytes, chance: random.Random) -> bytes:
    """Bytes changed, left out, doubled, turned round, put in."""
    mutant = bytearray(start)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at, size = chance.randint(0, len(mutant)), chance.choice((1, 1, 2, 8))
        part = bytes(mutant[at : at + size])
        changed = chance.randbytes(len(part))
        header = bytes([chance.choice(_HEADERS)])
        mutant[at : at + size] = chance.choice(
            (changed, changed, b"", part * 2, part[::-1], header)
        )
    return bytes(mutant)


_HEADERS = (0x80, 0x90, 0xA0, 0xC0, 0xC1, 0xC4, 0xC7, 0xCA, 0xCB, 0xD9, 0xDC, 0xDD, 0xDE, 0xDF)
"""Of MessagePack's types."""


# --- what takes them ---


class Target:
    """A server's side of one socket after the other."""

    def __init__(self) -> None:
        self.codes: Counter[int] = Counter()
        """How often each code has closed a socket; 0 is a frame that was taken."""
        self.slowest_s = 0.0
        """CPU time."""
        self.most_bytes = 0
        self._now_s = 0.0
        self._sockets = 0
        self._begin()

    def _begin(self) -> None:
        self._conversation = Conversation(TurnSettings(), lambda: "token001")
        self._microphone = Microphone()
        self._sockets += 1
        if self._sockets % 2:
            self._handle(ev.Opened("Be kind.", EVENTS))

    def take(self, frame: bytes | str) -> None:
        """Raises what is not a ProtocolViolation."""
        gc.disable()  # what hypothesis leaves behind is not this frame's
        tracemalloc.start()
        began_s = time.thread_time()
        try:
            code = self._code_after(frame)
        finally:
            self.slowest_s = max(self.slowest_s, time.thread_time() - began_s)
            self.most_bytes = max(self.most_bytes, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            gc.enable()
        self.codes[code] += 1
        if code:
            self._begin()

    def _code_after(self, frame: bytes | str) -> int:
        self._now_s += 0.03
        try:
            message = decode(frame)
        except ProtocolViolation as error:
            assert 0 < len(error.reason.encode()) <= 123, error.reason
            return int(error.close_code)
        if isinstance(message, Audio):
            assert np.all(np.abs(message.samples) <= 1), "a sample that is no sound"
            self._microphone.hear(message.raw, self._now_s)
        return self._handle(event_of(message))

    def _handle(self, event: ev.Event) -> int:
        """With models that hear speech in everything, and an agent that always answers."""
        code = 0
        for effect in self._conversation.handle(event, self._now_s):
            match effect:
                case CloseSocket(number, _):
                    return int(number)
                case _:
                    code = code or self._answered(effect)
        return code

    def _answered(self, effect: Effect) -> int:
        match effect:
            case Detect(frames):
                for _ in range(len(frames) // FRAME_SAMPLES):
                    if code := self._handle(ev.VoiceActivity(0.9)):
                        return code
            case Reply(generation, reply):
                return self._handle(
                    ev.ReplyAudio(generation, reply, Piece(bytes(8820), "Yes.", 0.1))
                )
        return 0


def fuzz(count: int, seed: int) -> Target:
    """What became of `count` frames. Raises what a frame raised, and hypothesis prints what it was
    made from."""
    target = Target()

    @seeded(seed)
    @settings(
        max_examples=-(-count // (1 + _MUTANTS)),
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(FRAMES, st.integers(0, 1 << 32))
    def take(frame: bytes | str, chance: int) -> None:
        target.take(frame)
        for mutant in mutants(frame, chance):
            target.take(mutant)

    take()
    return target


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000, help="how many frames")
    parser.add_argument("--seed", type=int, default=0, help="another one makes other frames")
    arguments = parser.parse_args()
    target = fuzz(arguments.count, arguments.seed)
    for code, times in sorted(target.codes.items()):
        print(f"{times:8} {code or 'taken'}")
    slowest_ms = target.slowest_s * 1000
    print(f"{target.codes.total():8} frames; the slowest took {slowest_ms:.1f} ms of CPU time")
    print(f"{target.most_bytes / (1 << 20):8.1f} MiB at most for a frame")
    return 0


if __name__ == "__main__":
    sys.exit(main())
