"""What a caller notes of a turn, and when the loudspeaker is silent."""

from typing import Any

import pytest

from bench.phrases import whole
from bench.user import Turn, silent_at_s, turn_of
from serve_app.client.playback import Received

PHRASE = whole("go_forward")
SECOND = 1000
"""Bytes that play for a second."""


def audio(at_s: float, token: str = "00000001", size: int = SECOND) -> Received:
    return Received(at_s, "audio", {"audio": token.encode() + bytes(size)})


def message(at_s: float, kind: str, **fields: Any) -> Received:
    return Received(at_s, kind, fields)


def noted(*messages: Received) -> Turn:
    """Of a phrase that lasts from 10 to 12 s."""
    return turn_of(PHRASE, 10.0, 12.0, messages)


def test_a_turn_that_waits_for_the_end() -> None:
    said = message(12.4, "transcript", role="user", text="Go forward 10 metres.")
    turn = noted(audio(9.9, "00000000"), said, audio(12.5), audio(12.6))
    assert turn.first_audio_ms == pytest.approx(500)
    assert not turn.is_spoken_over and not turn.is_stopped
    assert turn.error_rate == 0.25 and turn.began_s == 10.0


def test_a_turn_that_is_spoken_over_and_goes_on() -> None:
    turn = noted(audio(11.0), audio(12.1))
    assert turn.is_spoken_over and not turn.is_stopped
    assert turn.first_audio_ms == pytest.approx(100)


def test_a_turn_that_is_spoken_over_stopped_and_answered() -> None:
    token = "00000002"
    turn = noted(
        audio(11.0),
        message(11.3, "interrupt", token=token),
        message(12.05, "error", stage="tts"),
        audio(12.7, token),
    )
    assert turn.is_spoken_over and turn.is_stopped and turn.errors == 1
    assert turn.first_audio_ms == pytest.approx(700)


def test_an_old_reply_that_is_stopped_late_is_not_the_answer() -> None:
    token = "00000002"
    turn = noted(
        audio(11.9), audio(12.1), message(12.2, "interrupt", token=token), audio(12.9, token)
    )
    assert turn.first_audio_ms == pytest.approx(900)


def test_an_interrupt_before_any_audio_stops_nothing() -> None:
    turn = noted(message(10.2, "interrupt", token="00000002"), audio(12.5, "00000002"))
    assert not turn.is_spoken_over and not turn.is_stopped


def test_a_turn_without_an_answer() -> None:
    assert noted().first_audio_ms is None


def silent(*reply: Received, interrupt_s: float = 5.0) -> float:
    return silent_at_s(reply, interrupt_s, lambda size: size / SECOND)


def test_the_interrupt_silences_what_is_still_queued() -> None:
    assert silent(audio(3.0), audio(3.1, size=4 * SECOND)) == 5.0


def test_a_queue_that_ran_dry_is_silent_already() -> None:
    assert silent(audio(3.0), audio(3.5, size=SECOND // 2)) == pytest.approx(4.5)
    assert silent(audio(1.0), audio(3.2)) == pytest.approx(4.2)


def test_audio_after_the_interrupt_is_not_played() -> None:
    assert silent(audio(3.0), audio(5.5)) == pytest.approx(4.0)
