"""What a client knows when it comes back."""

import pytest

from serve_app.client.playback import Playback, Received
from serve_app.client.resumption import Resumption
from serve_app.protocol.formats import parse_format


def session(token: str, heard_samples: int = 0, window_s: float = 60.0) -> Received:
    fields = {"resume_token": token, "window_s": window_s, "heard_samples": heard_samples}
    return Received(0.0, "session", fields)


def test_the_first_session_asks_for_nothing_to_be_said_again() -> None:
    resumption = Resumption()
    resumption.recent.add(bytes(4 * 512))
    assert resumption.take(session("one")) == b""
    assert resumption.count == 0


def test_what_follows_the_samples_that_were_heard_is_said_again() -> None:
    resumption = Resumption()
    resumption.take(session("one"))
    resumption.recent.add(bytes(4 * 512))
    assert resumption.take(session("two", heard_samples=500)) == bytes(4 * 12)
    assert resumption.count == 1


def test_it_opens_with_the_newest_token_and_what_was_played() -> None:
    resumption = Resumption()
    resumption.take(session("one"))
    resumption.take(session("two"))
    playback = Playback(parse_format("pcm_16000"))
    playback.take(Received(0.0, "token", {"token": "token001"}))
    playback.take(Received(0.0, "audio", {"audio": b"token001" + bytes(32_000)}))
    playback.advance(0.5)
    assert resumption.opening(playback) == {
        "type": "open",
        "resume_token": "two",
        "played": {"token": "token001", "played_ms": pytest.approx(500)},
    }


def test_there_is_a_try_as_long_as_it_may_help() -> None:
    resumption = Resumption()
    assert resumption.next_pause_s(1006) is None, "there is no token yet"
    resumption.take(session("one"))
    assert resumption.next_pause_s(1006) is not None
    assert resumption.next_pause_s(4404) is None
    late = Resumption()
    late.take(session("one", window_s=-1.0))
    assert late.next_pause_s(1006) is None


def test_after_goaway_nothing_is_begun_at_this_socket() -> None:
    resumption = Resumption()
    assert resumption.may_begin.is_set()
    resumption.take(Received(0.0, "goaway", {"time_left_ms": 8000, "final": True}))
    assert resumption.may_begin.is_set(), "there is no other socket to wait for"
    resumption.take(Received(0.0, "goaway", {"time_left_ms": 8000, "final": False}))
    assert not resumption.may_begin.is_set()
