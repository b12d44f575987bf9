"""What the client sends again to another socket."""

import numpy as np

from serve_app.client.microphone import RecentAudio

CHUNK = 512


def said(audio: RecentAudio, first: int, last: int) -> None:
    """Chunks whose samples are their numbers."""
    for number in range(first, last):
        audio.add(np.full(CHUNK, number, dtype="<f4").tobytes())


def chunks(audio: bytes) -> list[int]:
    return [int(n) for n in np.frombuffer(audio, dtype="<f4")[::CHUNK]]


def test_what_the_server_has_not_heard_follows_its_last_sample() -> None:
    audio = RecentAudio()
    said(audio, 0, 10)
    assert chunks(audio.unheard(6 * CHUNK)) == [6, 7, 8, 9]


def test_what_is_said_without_a_socket_comes_after_it() -> None:
    audio = RecentAudio()
    said(audio, 0, 4)
    said(audio, 4, 6)  # none of this was sent: the server has heard 3
    assert chunks(audio.unheard(3 * CHUNK)) == [3, 4, 5]


def test_a_second_socket_counts_from_what_was_said_again() -> None:
    audio = RecentAudio()
    said(audio, 0, 4)
    assert chunks(audio.unheard(2 * CHUNK)) == [2, 3]
    said(audio, 4, 6)
    assert chunks(audio.unheard(1 * CHUNK)) == [3, 4, 5]
    assert chunks(audio.unheard(99 * CHUNK)) == []


def test_two_seconds_are_kept_of_silence_and_fifteen_of_speech() -> None:
    audio = RecentAudio()
    said(audio, 0, 1000)
    kept = chunks(audio.unheard(0))
    assert kept == list(range(1000 - 62, 1000)) or kept == list(range(1000 - 63, 1000))
    audio.is_spoken = True
    said(audio, 1000, 2000)
    assert 465 <= len(chunks(audio.unheard(0))) <= 470
