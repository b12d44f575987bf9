"""A thousand frames, of which each means something else: nothing but close codes comes of them."""

import pytest

from bench import fuzz_frames
from bench.fuzz_frames import Target, fuzz, mutants
from serve_app.protocol.close_codes import CloseCode

COUNT = 1000


def test_frames_are_taken_or_refused_and_nothing_else_happens() -> None:
    target = fuzz(COUNT, seed=1)
    assert target.codes.total() >= COUNT
    assert {0, 1000, 1003, 1007, 4400} <= set(target.codes) <= {0, *CloseCode}
    assert target.codes[0] > COUNT / 50, "enough of them are good"
    assert target.most_bytes < 16 << 20


def test_an_exception_that_is_no_violation_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(frame: bytes | str) -> None:
        if b"\xc1" in (frame if isinstance(frame, bytes) else b""):
            raise KeyError("type")
        raise fuzz_frames.ProtocolViolation("no")

    monkeypatch.setattr(fuzz_frames, "decode", decode)
    with pytest.raises(KeyError):
        fuzz(COUNT, seed=1)


def test_the_same_seed_makes_the_same_frames() -> None:
    frame = b"\x81\xa4type\xa5close"
    assert list(mutants(frame, 7)) == list(mutants(frame, 7)) != list(mutants(frame, 8))


def test_what_a_frame_costs_is_measured() -> None:
    target = Target()
    target.take(b"\x82\xa4type\xa5audio\xa5audio\xc6\x00\x08\x00\x00" + bytes(1 << 19))
    assert target.most_bytes > 1 << 19
