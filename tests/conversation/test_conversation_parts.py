"""The small pure parts of a conversation."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.conversation.audio import AudioBuffer
from serve_app.conversation.history import History
from serve_app.conversation.ledger import HeardLedger
from serve_app.conversation.piece import Piece
from serve_app.conversation.playout import Playout
from serve_app.conversation.settings import (
    BACKCHANNELS,
    CLIENT_SETTINGS,
    FRAME_SAMPLES,
    LONGEST_BACKCHANNEL,
    LONGEST_MESSAGE,
    MOST_BACKCHANNELS,
    SAMPLE_RATE_HZ,
    TurnSettings,
    with_client_settings,
)
from serve_app.conversation.turn import Turn
from serve_app.conversation.voice import VoiceTracker
from serve_app.conversation.words import floor_words, same_words


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


def test_the_buffer_is_small_again_after_a_long_utterance() -> None:
    buffer = AudioBuffer()
    at_first = len(buffer._store)
    for _ in range(60):
        buffer.append(np.ones(SAMPLE_RATE_HZ, dtype=np.float32))
        buffer.take_frames()
    assert len(buffer._store) >= 60 * SAMPLE_RATE_HZ
    buffer.forget_before(buffer.end - 100)
    assert len(buffer._store) == at_first
    assert np.array_equal(buffer.cut(buffer.end - 100, buffer.end), np.ones(100))


# --- the heard ledger ---


def ledger_of(*pieces: tuple[float, str, float]) -> HeardLedger:
    """Pieces as (sent at, text, duration)."""
    ledger = HeardLedger()
    for sent_at_s, text, duration_s in pieces:
        ledger.add(Piece(b"", text, duration_s), sent_at_s)
    return ledger


def test_heard_text_is_cut_at_a_word() -> None:
    ledger = ledger_of((10.0, "One two three four. ", 2.0), (10.1, "Five six.", 1.0))
    assert ledger.heard(10.0) == ""
    assert ledger.heard(11.0) == "One two"
    assert ledger.heard(12.1) == "One two three four."
    assert ledger.heard(13.0) == "One two three four. Five six."


def test_what_was_not_heard_begins_with_the_piece_that_plays() -> None:
    ledger = ledger_of((10.0, "One two three four. ", 2.0), (10.1, "Five six.", 1.0))
    assert [piece.text for piece in ledger.unheard(11.0)] == ["three four. ", "Five six."]
    assert ledger.unheard(13.0) == []


def test_playback_resumes_late_after_an_underrun() -> None:
    ledger = ledger_of((0.0, "One. ", 1.0), (5.0, "Two.", 1.0))
    assert ledger.remaining_s(5.5) == pytest.approx(0.5)
    assert ledger.heard(5.0) == "One."


def test_the_client_knows_better_what_it_has_played() -> None:
    ledger = ledger_of((0.0, "One two three four.", 2.0))
    ledger.correct(0.5, now_s=1.5)
    assert ledger.heard(1.5) == "One"
    assert ledger.remaining_s(2.0) == pytest.approx(1.0)
    ledger.correct(9.0, now_s=2.0)
    assert ledger.remaining_s(2.0) == 0.0


def voiced(*pieces: tuple[float, str, float]) -> HeardLedger:
    """The same with audio."""
    ledger = HeardLedger()
    for sent_at_s, text, duration_s in pieces:
        ledger.add(Piece(b"\1\0", text, duration_s), sent_at_s)
    return ledger


def test_what_waits_to_be_written_is_not_heard() -> None:
    ledger = voiced((0.0, "One ", 0.5), (0.0, "two ", 0.5), (0.0, "three.", 0.5))
    ledger.wait_for(2, now_s=0.2)
    assert ledger.is_behind
    assert ledger.heard(9.0) == "One" and ledger.remaining_s(9.0) == pytest.approx(1.0)
    ledger.correct(9.0, now_s=9.0)
    assert ledger.played_s(9.0) == pytest.approx(0.5), "nobody can have played it"


def test_playback_goes_on_when_the_next_piece_is_written() -> None:
    ledger = voiced((0.0, "One ", 0.5), (0.0, "two ", 0.5))
    ledger.wait_for(1, now_s=0.2)
    ledger.wait_for(0, now_s=3.0)
    assert not ledger.is_behind
    assert ledger.played_s(3.25) == pytest.approx(0.75)


def test_a_piece_that_is_sent_behind_others_waits_with_them() -> None:
    ledger = voiced((0.0, "One ", 0.5))
    ledger.wait_for(1, now_s=0.1)
    ledger.add(Piece(b"\1\0", "two ", 0.5), now_s=0.2)
    ledger.add(Piece(b"", "...", 0.0), now_s=0.2)
    assert ledger.heard(9.0) == "" and ledger.is_behind
    ledger.wait_for(1, now_s=9.0)
    assert ledger.heard(10.0) == "One"
    ledger.wait_for(0, now_s=10.0)
    assert ledger.heard(11.0) == "One two ..."


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0.01, 2)), min_size=1, max_size=20))
def test_heard_and_unheard_are_the_whole_text(sent: list[tuple[float, float]]) -> None:
    now_s, ledger = 0.0, HeardLedger()
    for i, (gap_s, duration_s) in enumerate(sent):
        now_s += gap_s
        ledger.add(Piece(b"", f"word{i} again{i} ", duration_s), now_s)
    heard, rest = ledger.heard(now_s), "".join(piece.text for piece in ledger.unheard(now_s))
    assert (
        f"{heard} {rest}".split() == "".join(f"word{i} again{i} " for i in range(len(sent))).split()
    )


# --- a reply on its way out ---


def test_output_runs_no_further_ahead_than_the_lead() -> None:
    playout = Playout(1)
    for number in range(8):
        playout.add(Piece(b"\1\0", f"{number} ", 0.5), now_s=0.0)
    assert len(playout.take(0.0, lead_s=1.0)) == 2
    assert playout.due_in_s(0.0, lead_s=1.0) == pytest.approx(0.5)
    assert len(playout.take(0.5, lead_s=1.0)) == 1
    assert playout.take(0.9, lead_s=1.0) == []


def test_a_piece_longer_than_the_lead_waits_for_silence() -> None:
    playout = Playout(1)
    playout.add(Piece(b"\1\0", "long ", 2.0), now_s=0.0)
    playout.add(Piece(b"\1\0", "longer", 2.0), now_s=0.0)
    assert len(playout.take(0.0, lead_s=1.0)) == 1
    assert playout.due_in_s(0.0, lead_s=1.0) == pytest.approx(2.0)
    assert len(playout.take(2.0, lead_s=1.0)) == 1


def test_a_reply_that_is_too_long_ends_early_and_has_no_hole() -> None:
    playout = Playout(1)
    for minute in range(12):
        playout.add(Piece(b"\1\0", f"{minute} ", 60.0), now_s=0.0)
    said = [piece.text for piece in playout.take(0.0, lead_s=120.0)]
    playout.add(Piece(b"\1\0", "late ", 60.0), now_s=0.0)
    for now_s in range(60, 900, 60):
        said += [piece.text for piece in playout.take(float(now_s), lead_s=120.0)]
    assert said == [f"{minute} " for minute in range(10)]


# --- words ---


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is this?", "what is this", True),
        ("It's late.", "its late", True),
        ("ﬁne", "FINE!", True),
        ("What is", "What is this?", False),
    ],
)
def test_transcripts_are_the_same_when_their_words_are(one: str, other: str, same: bool) -> None:
    assert same_words(one, other) is same


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Uh-huh.", []),
        ("Mm-hmm, yeah, yeah, I see!", []),
        ("Okay, stop.", ["stop"]),
        ("No.", ["no"]),
        ("[BLANK_AUDIO]", []),
        ("(coughing) *sighs*", []),
        ("...", []),
    ],
)
def test_what_asks_for_the_floor(text: str, left: list[str]) -> None:
    assert floor_words(text, BACKCHANNELS) == left


# --- what is kept of texts without an end ---


def test_a_message_that_is_joined_again_and_again_keeps_its_end() -> None:
    history = History()
    history.begin("Be kind.", "")
    for number in range(100):
        history.add_user(f"{number:02} " + "x" * 10_000)
    prompt, message = history.chat
    assert prompt.content == "Be kind." and len(message.content) == LONGEST_MESSAGE
    assert message.content.endswith("99 " + "x" * 10_000)


def test_a_turn_that_does_not_end_keeps_its_end() -> None:
    turn = Turn(1, 0)
    for number in range(100):
        turn.take_transcript(turn.add_segment(np.zeros(1, np.float32)), f"{number:02} spoken")
        turn.add_text(f"{number:02} " + "x" * 10_000, is_numbered=True)
    assert len(turn.text) <= LONGEST_MESSAGE
    assert turn.text.endswith("99 spoken 99 " + "x" * 10_000)
    assert turn.reopen_segment() == turn.segment, "the last segment may go on"


# --- settings ---


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="speech_threshold must be 0 to 1, not 2"):
        TurnSettings(speech_threshold=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lead_ms": 100}, "'lead_ms' is not a setting that a client can change"),
        ({"end_silence_ms": "long"}, "end_silence_ms must be a number"),
        ({"end_silence_ms": True}, "end_silence_ms must be a number"),
        ({"interruptions": 1}, "interruptions must be true or false"),
        ({"backchannels": "yes"}, "backchannels must be a list of strings"),
        ({"backchannels": ["ja"] * 65}, "backchannels must have at most 64 phrases"),
        ({"backchannels": ["x" * 41]}, "backchannels must have at most 40 characters each"),
        ({"complete_threshold": float("nan")}, "complete_threshold must be 0 to 1, not nan"),
        ({"idle_prompt": "x" * 1001}, "idle_prompt must have at most 1000 characters"),
        ({"end_silence_ms": 1}, "end_silence_ms must be 32 to 10000, not 1"),
    ],
)
def test_what_a_client_cannot_set(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_client_settings(TurnSettings(), changes)


def test_the_most_that_a_client_can_set() -> None:
    phrases = ["x" * LONGEST_BACKCHANNEL] * MOST_BACKCHANNELS
    changes = {"backchannels": phrases, "idle_prompt": "x" * 1000}
    assert with_client_settings(TurnSettings(), changes).backchannels == tuple(phrases)


TOO_MUCH: dict[type, object] = {
    int: 1 << 60,
    float: 1e300,
    str: "x" * 900_000,
    tuple: ["x" * 900_000],
    bool: "x" * 900_000,
}


@pytest.mark.parametrize("name", sorted(CLIENT_SETTINGS))
def test_every_turn_option_has_a_bound(name: str) -> None:
    kind = type(getattr(TurnSettings(), name))
    with pytest.raises(ValueError, match=f"{name} must "):
        with_client_settings(TurnSettings(), {name: TOO_MUCH[kind]})


def test_what_a_client_can_set() -> None:
    changes = {"complete_threshold": 1, "backchannels": ["ja"], "interruptions": False}
    settings = with_client_settings(TurnSettings(), changes)
    assert (settings.complete_threshold, settings.backchannels) == (1.0, ("ja",))
    assert not settings.interruptions
