"""The client's loudspeaker, which knows how much of each reply it has played."""

import pytest

from serve_app.client.playback import Playback, Received
from serve_app.protocol.formats import parse_format

FORMAT = parse_format("pcm_16000")
SECOND = bytes(FORMAT.bytes_per_second)


def playback(*messages: Received) -> Playback:
    speaker = Playback(FORMAT)
    for message in messages:
        speaker.take(message)
    return speaker


def token(at_s: float, name: str) -> Received:
    return Received(at_s, "token", {"token": name})


def audio(at_s: float, name: str, seconds: int) -> Received:
    return Received(at_s, "audio", {"audio": name.encode() + seconds * SECOND})


def test_what_was_played_of_a_reply_is_known_while_it_plays() -> None:
    speaker = playback(token(0, "token001"), audio(1, "token001", 2), audio(1.5, "token001", 2))
    speaker.advance(3.5)
    assert (speaker.played_token, speaker.played_ms) == ("token001", pytest.approx(2500))


def test_each_reply_is_counted_by_itself() -> None:
    """The next token arrives while the reply before it is still playing."""
    speaker = playback(
        token(0, "token001"),
        audio(0, "token001", 2),
        token(1, "token002"),
        audio(1, "token002", 2),
    )
    speaker.advance(1.5)
    assert (speaker.played_token, speaker.played_ms) == ("token001", pytest.approx(1500))
    speaker.advance(2.5)
    assert (speaker.played_token, speaker.played_ms) == ("token002", pytest.approx(500))


def test_what_an_interrupt_drops_was_not_played() -> None:
    interrupt = Received(1, "interrupt", {"token": "token002"})
    speaker = playback(token(0, "token001"), audio(0, "token001", 3), interrupt)
    speaker.advance(5)
    assert (speaker.played_token, speaker.played_ms) == ("token001", pytest.approx(1000))
    assert len(speaker.heard) == len(SECOND)
