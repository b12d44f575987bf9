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


def unheard(audio: RecentAudio, heard_samples: int) -> bytes:
    """What a new socket begins with."""
    audio.rewind(heard_samples)
    return audio.next_unsent(1 << 30)


def test_what_the_server_has_not_heard_follows_its_last_sample() -> None:
    audio = RecentAudio()
    said(audio, 0, 10)
    assert chunks(unheard(audio, 6 * CHUNK)) == [6, 7, 8, 9]


def test_what_is_said_without_a_socket_comes_after_it() -> None:
    audio = RecentAudio()
    said(audio, 0, 4)
    said(audio, 4, 6)  # none of this was sent: the server has heard 3
    assert chunks(unheard(audio, 3 * CHUNK)) == [3, 4, 5]


def test_a_second_socket_counts_from_what_was_said_again() -> None:
    audio = RecentAudio()
    said(audio, 0, 4)
    assert chunks(unheard(audio, 2 * CHUNK)) == [2, 3]
    said(audio, 4, 6)
    assert chunks(unheard(audio, 1 * CHUNK)) == [3, 4, 5]
    assert chunks(unheard(audio, 99 * CHUNK)) == []


def test_two_seconds_are_kept_of_silence_and_fifteen_of_speech() -> None:
    audio = RecentAudio()
    said(audio, 0, 1000)
    kept = chunks(unheard(audio, 0))
    assert kept == list(range(1000 - 62, 1000)) or kept == list(range(1000 - 63, 1000))
    audio.is_spoken = True
    said(audio, 1000, 2000)
    assert 465 <= len(chunks(unheard(audio, 0))) <= 470


def test_speech_that_was_cut_off_is_kept_through_a_long_outage() -> None:
    """After 15 s without a server, the words had given way to the silence after them."""
    audio = RecentAudio()
    audio.is_spoken = True
    said(audio, 0, 100)
    audio.is_cut = True
    said(audio, 100, 1000)
    assert chunks(unheard(audio, 10 * CHUNK)) == list(range(10, 469))
    said(audio, 469, 480)
    assert chunks(unheard(audio, 459 * CHUNK)) == list(range(469, 480)), "there is a socket again"


def test_what_is_said_while_audio_is_sent_again_follows_it() -> None:
    """It was dropped: the sound of a few words, after a resume in the middle of a sentence."""
    audio = RecentAudio()
    said(audio, 0, 50)
    audio.rewind(10 * CHUNK)
    sent = audio.next_unsent(30 * CHUNK * 4)
    for number in range(50, 250):
        audio.add(np.full(CHUNK, number, dtype="<f4").tobytes(), is_sent=False)
    while more := audio.next_unsent(30 * CHUNK * 4):
        sent += more
    assert chunks(sent) == list(range(10, 250))
    said(audio, 250, 252)
    assert audio.next_unsent(1 << 30) == b"", "the caller sends what is said from now on"
    assert chunks(unheard(audio, 239 * CHUNK)) == [249, 250, 251]
