"""The small pure parts of a conversation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.conversation.audio import AudioBuffer
from serve_app.conversation.clauses import ClauseSplitter
from serve_app.conversation.ledger import HeardLedger
from serve_app.conversation.settings import FRAME_SAMPLES, TurnSettings
from serve_app.conversation.voice import VoiceTracker


def track(*probabilities: float) -> VoiceTracker:
    tracker = VoiceTracker(TurnSettings())
    for probability in probabilities:
        tracker.push(probability)
    return tracker


# --- voice activity ---


def test_hysteresis_keeps_quiet_speech_going() -> None:
    assert track(0.6, 0.4, 0.4).speech_ms == 96
    assert track(0.4, 0.4, 0.4).speech_ms == 0


def test_a_gap_of_two_frames_does_not_end_a_run() -> None:
    assert track(0.9, 0.1, 0.1, 0.9).speech_ms == 128
    assert track(0.9, 0.1, 0.1, 0.1, 0.9).speech_ms == 32


def test_onset_and_silence_in_samples_and_ms() -> None:
    tracker = track(0.0, 0.0, 0.9, 0.9, 0.1)
    assert tracker.onset_at == 2 * FRAME_SAMPLES
    assert tracker.speech_end_at == 4 * FRAME_SAMPLES
    assert tracker.silence_ms == 32
    assert tracker.judged_at == 5 * FRAME_SAMPLES


# --- audio ---


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 9000)), max_size=40))
def test_the_buffer_is_a_window_on_the_stream(steps: list[tuple[int, int]]) -> None:
    buffer, stream = AudioBuffer(), np.arange(sum(n for n, _ in steps), dtype=np.float32)
    received = forgotten = framed = 0
    for count, forget in steps:
        buffer.append(stream[received : received + count])
        received += count
        framed += len(buffer.take_frames())
        buffer.forget_before(forget)
        forgotten = max(forgotten, min(forget, framed))
        assert buffer.end == received
        assert np.array_equal(buffer.cut(0, received), stream[forgotten:received])


def test_a_cut_of_what_is_not_there_is_empty() -> None:
    buffer = AudioBuffer()
    buffer.append(np.ones(100, dtype=np.float32))
    assert len(buffer.cut(200, 300)) == 0
    assert len(buffer.cut(80, 40)) == 0


# --- the heard ledger ---


def test_heard_text_is_cut_at_a_word() -> None:
    ledger = HeardLedger()
    ledger.add("One two three four. ", 2.0, now_s=10.0)
    ledger.add("Five six.", 1.0, now_s=10.1)
    assert ledger.heard(9.0) == ""
    assert ledger.heard(11.0) == "One two"
    assert ledger.heard(12.1) == "One two three four."
    assert ledger.heard(13.0) == ledger.everything() == "One two three four. Five six."


def test_playback_resumes_late_after_an_underrun() -> None:
    ledger = HeardLedger()
    ledger.add("One. ", 1.0, now_s=0.0)
    ledger.add("Two.", 1.0, now_s=5.0)
    assert ledger.remaining_s(5.5) == pytest.approx(0.5)
    assert ledger.heard(5.0) == "One."


# --- clauses ---


def split(text: str, size: int = 3) -> list[str]:
    splitter = ClauseSplitter()
    clauses = [c for i in range(0, len(text), size) for c in splitter.push(text[i : i + size])]
    return clauses + splitter.flush()


@given(st.text(alphabet="ab ,.!?;:\n-1é", max_size=200), st.integers(1, 9))
def test_clauses_joined_are_the_text(text: str, size: int) -> None:
    assert "".join(split(text, size)).rstrip() == text.rstrip()


def test_sentences_are_clauses() -> None:
    assert split("Yes. It is late! Is it?") == ["Yes. ", "It is late! ", "Is it?"]


def test_the_first_clause_may_end_at_a_comma_early() -> None:
    assert split("Well then my friend, that is so, is it not, my good old friend, I say.") == [
        "Well then my friend, ",
        "that is so, is it not, my good old friend, ",
        "I say.",
    ]


def test_abbreviations_and_numbers_do_not_end_a_sentence() -> None:
    assert split("Dr. Smith pays 3.14 dollars. Mr. Jones pays none.") == [
        "Dr. Smith pays 3.14 dollars. ",
        "Mr. Jones pays none.",
    ]


def test_text_without_punctuation_is_spoken_all_the_same() -> None:
    clauses = split("word " * 70)
    assert len(clauses) == 3 and all(len(clause.split()) <= 30 for clause in clauses)
