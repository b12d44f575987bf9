"""Frames made to cost much: each is refused, with a reason, and before it takes memory."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from bench.frame_bombs import BOMBS, MOST_BYTES
from serve_app.errors import ProtocolViolation
from serve_app.protocol.codec import decode
from serve_app.protocol.limits import DEFAULT_FRAMES, FrameLimits

REFUSED_WITHIN = 5 * MOST_BYTES
"""Memory, in bytes, while a bomb of 1 MiB is refused: 64 strings of the widest characters, which
have to be read to be known. A million empty maps took 70 MB."""
TAKEN_WITHIN = 8
"""Times the size of a frame, while the largest audio is taken."""


@pytest.fixture
def memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def peak_bytes() -> int:
    return tracemalloc.get_traced_memory()[1]


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_takes_memory(memory: None, name: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        decode(BOMBS[name])
    assert peak_bytes() <= REFUSED_WITHIN
    assert caught.value.close_code in (1007, 1009, 4400)
    assert 10 < len(caught.value.reason.encode()) <= 123


def test_the_largest_audio_takes_a_few_times_its_size(memory: None) -> None:
    samples = bytes(MOST_BYTES - 64)
    decode(msgpack.packb({"type": "audio", "audio": samples}))
    assert peak_bytes() <= TAKEN_WITHIN * MOST_BYTES


def test_every_option_at_its_most_is_taken() -> None:
    """In the widest script: no bound on the whole is below the sum of the bounds of the parts."""
    wide = "\N{GRINNING FACE}"
    text = "x" * DEFAULT_FRAMES.text_bytes
    turn = {"backchannels": [wide * 40] * 64, "idle_prompt": wide * 1000, "end_silence_ms": 500}
    options = {"events": ["transcript"], "language": "x" * 128, "voice": "x" * 128}
    options |= {"resume_token": "x" * 128, "key": "x" * 8192}
    message = {"type": "open", "prompt": text, "greeting": text, "turn": turn, **options}
    decode(msgpack.packb(message))
    decode(msgpack.packb({"type": "text", "text": text, "id": 1}))


@pytest.mark.parametrize("kind", ["open", "text", "state", "played", "interrupt", "close", "audio"])
def test_fields_that_are_not_known_are_left_alone_up_to_4_kib(kind: str) -> None:
    wanted = {"text": "Hi.", "state": "waiting", "played_ms": 1, "audio": bytes(400_000)}
    known = {name: value for name, value in wanted.items() if name.startswith(kind)}
    message = {"type": kind, **known, "new": "x" * 3900}
    decode(msgpack.packb(message))
    most = {"open": 2 * DEFAULT_FRAMES.text_bytes + 16_384, "text": DEFAULT_FRAMES.text_bytes}
    with pytest.raises(ProtocolViolation, match="what is not known of it is too long"):
        decode(msgpack.packb(message | {"newer": b"x" * (4096 + most.get(kind, 0))}))


def test_the_limits_are_settings() -> None:
    limits = FrameLimits(message_bytes=8192, text_bytes=300)
    decode(msgpack.packb({"type": "text", "text": "x" * 300}), limits)
    with pytest.raises(ProtocolViolation, match="'text' is longer than 300 bytes"):
        decode(msgpack.packb({"type": "text", "text": "x" * 301}), limits)
    with pytest.raises(ProtocolViolation, match="at most 8192 are taken"):
        decode(msgpack.packb({"type": "audio", "audio": bytes(8192)}), limits)


@pytest.mark.parametrize("long", [{"key": "x" * 8192}, {"turn": {"idle_prompt": "x" * 4000}}])
def test_a_limit_of_texts_is_none_of_what_is_no_text(long: dict[str, Any]) -> None:
    """A key may be a JWT."""
    decode(msgpack.packb({"type": "open", "prompt": "", **long}), FrameLimits(text_bytes=256))
