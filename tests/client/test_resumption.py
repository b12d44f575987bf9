"""What a client knows when it comes back."""

from typing import Any

import pytest

from serve_app.client.playback import Playback, Received
from serve_app.client.resumption import Resumption
from serve_app.protocol.formats import parse_format


def session(
    token: str, heard_samples: int = 0, window_s: float = 60.0, text_id: int = 0
) -> Received:
    fields: dict[str, Any] = {"resume_token": token, "window_s": window_s}
    fields |= {"heard_samples": heard_samples, "text_id": text_id}
    return Received(0.0, "session", fields)


def test_the_first_session_asks_for_nothing_to_be_said_again() -> None:
    resumption = Resumption()
    resumption.recent.add(bytes(4 * 512))
    assert not resumption.take(session("one"))
    assert resumption.recent.next_unsent(4096) == b""
    assert resumption.count == 0


def test_what_follows_the_samples_that_were_heard_is_said_again() -> None:
    resumption = Resumption()
    resumption.take(session("one"))
    resumption.recent.add(bytes(4 * 512))
    assert resumption.take(session("two", heard_samples=500))
    assert resumption.recent.next_unsent(4096) == bytes(4 * 12)
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


def typed(resumption: Resumption) -> list[str]:
    return [text["text"] for text in resumption.typed]


def test_a_text_that_the_server_has_not_taken_is_sent_again() -> None:
    resumption = Resumption()
    resumption.take(session("one"))
    numbers = [resumption.number({"type": "text", "text": text})["id"] for text in "abc"]
    assert numbers == [1, 2, 3]
    resumption.take(session("two", text_id=2))
    assert typed(resumption) == ["c"]
    assert resumption.number({"type": "text", "text": "d", "id": 9})["id"] == 9
    assert resumption.number({"type": "text", "text": "e"})["id"] == 10
    assert typed(resumption) == ["c", "d", "e"]


def test_a_server_that_does_not_number_texts_is_not_sent_them_twice() -> None:
    resumption = Resumption()
    resumption.take(session("one"))
    resumption.number({"type": "text", "text": "a"})
    notice = session("two")
    del notice.fields["text_id"]
    resumption.take(notice)
    assert typed(resumption) == []


def test_the_texts_that_are_kept_have_a_bound() -> None:
    resumption = Resumption()
    for number in range(100):
        resumption.number({"type": "text", "text": str(number)})
    assert typed(resumption) == [str(number) for number in range(36, 100)]
