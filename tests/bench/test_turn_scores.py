"""The arithmetic of `make bench-turns`, and the recordings that it is judged on."""

import numpy as np
import pytest

from bench.curves import Panel, draw
from bench.turn_policies import AskedAgain, Model, Server, SilenceOnly, TextEnding, Together
from bench.turn_recordings import DEV, HELD_OUT
from bench.turn_rows import Silence, Turn, from_rows, room_tone, speech_end, to_rows
from bench.turn_scores import Score, frontier, operating_points, score, wilson
from serve_app.conversation.settings import SAMPLE_RATE_HZ, TurnSettings, samples


def silence(length_ms: int, complete: dict[int, float] | None = None, text: str = "") -> Silence:
    return Silence(length_ms, 500, complete or {}, text, ())


PAUSES = (
    silence(200, {128: 0.9, 192: 0.2}, "I would like"),
    silence(640, {128: 0.1, 192: 0.6, 256: 0.8, 512: 0.9, 640: 0.9}, "It is late."),
)
END = silence(4000, {128: 0.1, 192: 0.4, 256: 0.6, 512: 0.9, 640: 0.9, 800: 0.9}, "Good night.")
TURN = Turn("dev", "somebody", "clip", PAUSES, END, 20.0)


def scored(cut: int, mean_ms: int) -> Score:
    return Score(f"{cut} and {mean_ms}", cut, 100, mean_ms, mean_ms, mean_ms)


@pytest.mark.parametrize(
    ("successes", "of", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_the_confidence_interval_is_the_one_in_the_tables(
    successes: int, of: int, low: float, high: float
) -> None:
    assert wilson(successes, of) == pytest.approx((low, high), abs=1e-4)


def test_a_pause_as_long_as_the_wait_is_cut_off() -> None:
    assert score(SilenceOnly(200), [TURN]).cut == 2
    assert score(SilenceOnly(201), [TURN]).cut == 1
    assert score(SilenceOnly(641), [TURN]).cut == 0


def test_a_delay_is_in_whole_frames_and_counts_from_the_end_by_level() -> None:
    assert score(SilenceOnly(193), [TURN]).mean_ms == 224 + 20


def test_a_turn_without_an_end_has_pauses_and_no_delay() -> None:
    begun = Turn("dev", "somebody", "begun", PAUSES, None, 999.0)
    assert score(SilenceOnly(400), [TURN, begun]) == Score("silence 400", 2, 4, 436, 436, 436)


def test_the_model_is_asked_once() -> None:
    assert Model(192, 0.5, 256, 1000).waits_ms(TURN) == [1000, 256, 1000]
    assert Model(512, 0.5, 256, 1000).waits_ms(TURN) == [1000, 512, 512]


def test_the_first_yes_ends_the_turn() -> None:
    assert AskedAgain(192, 0.5, 1000).waits_ms(TURN) == [1000, 192, 256]
    assert AskedAgain(256, 0.9, 1000).waits_ms(TURN) == [1000, 512, 512]
    assert AskedAgain(192, 0.95, 1000).waits_ms(TURN) == [1000, 1000, 1000]


def test_a_sentence_is_given_less() -> None:
    assert TextEnding(300, 900).waits_ms(TURN) == [900, 300, 300]


def test_text_and_model_together() -> None:
    assert Together(192, 512, 0.5, 1000).waits_ms(TURN) == [1000, 192, 256]
    assert Together(192, 512, 0.95, 1000).waits_ms(TURN) == [1000, 512, 512]
    assert Together(192, 512, 0.95, 400).waits_ms(TURN) == [400, 400, 400]


def test_the_server_asks_again_while_it_is_not_sure() -> None:
    server = Server(TurnSettings())
    settings = server.settings
    later_ms = settings.judge_silence_ms + settings.likely_silence_ms - settings.end_silence_ms
    sure = silence(4000, {96: 0.5, settings.judge_silence_ms: 0.95}, "It is late.")
    later = silence(4000, {96: 0.1, later_ms: 0.6}, "It is late.")
    unfinished = silence(4000, {96: 0.6}, "It is late, and")
    sooner, likely, longest = (server.course(s) for s in (sure, later, unfinished))
    assert (sooner.end_ms, likely.end_ms) == (settings.end_silence_ms, settings.likely_silence_ms)
    assert longest.end_ms > likely.end_ms
    assert [len(course.asked_ms) for course in (sooner, likely, longest)] == [2, 3, 3]


def test_an_answer_counts_one_frame_after_the_question() -> None:
    """As in the server, which takes it before the next frame."""
    server = Server(TurnSettings())
    sure_at_last = server.course(silence(4000, {96: 0.2, 640: 0.98}, "It is late."))
    assert sure_at_last.asked_ms[-1] == 640
    assert sure_at_last.end_ms == 672


def test_a_table_without_the_first_answer_is_refused() -> None:
    """One that was saved when the server asked later: 0 would be scored as an answer."""
    with pytest.raises(ValueError, match="96 ms"):
        Server(TurnSettings()).course(silence(4000, {128: 0.9}, "It is late."))


def test_a_first_answer_that_is_clear_is_enough_until_the_turn_can_end() -> None:
    server = Server(TurnSettings())
    over, open_ = (silence(4000, {96: p}, "It is late.") for p in (0.98, 0.05))
    assert [server.course(s).asked_ms for s in (over, open_)] == [(96,), (96, 640)]


def test_the_server_drafts_what_may_be_over_and_leaves_what_is_not() -> None:
    server = Server(TurnSettings())
    over = server.course(silence(4000, {96: 0.98}, "It is late."))
    doubtful = server.course(silence(4000, {96: 0.05}, "It is late."))
    unfinished = server.course(silence(4000, {96: 0.6}, "It is late, and"))
    ahead_ms = server.settings.draft_ahead_ms
    assert over.drafted_ms == 192, "as soon as the transcript is there"
    assert doubtful.end_ms == server.settings.sentence_silence_ms
    assert 0 <= doubtful.drafted_ms - (doubtful.end_ms - ahead_ms) < 32, "the next frame"
    assert 0 <= unfinished.drafted_ms - (unfinished.end_ms - ahead_ms) < 32


def test_the_server_learns_from_earlier_pauses() -> None:
    settings = TurnSettings()
    hesitant = Silence(4000, 500, {96: 0.0}, "", (1500, 1500, 1500))
    fluent = Silence(4000, 500, {96: 0.0}, "", (200, 200, 200))
    patient, hasty = Server(settings).waits_ms(Turn("dev", "", "", (hesitant, fluent), None))
    assert patient > hasty


def test_the_frontier_has_nothing_that_another_one_beats() -> None:
    best = [scored(40, 300), scored(20, 500), scored(5, 900)]
    worse = [scored(40, 301), scored(50, 500), scored(20, 700), scored(6, 2000)]
    assert frontier([*worse, *best]) == best


def test_operating_points_keep_their_budget() -> None:
    points = operating_points([scored(40, 300), scored(20, 500), scored(6, 900)])
    assert points["5% cut off"] is None
    assert points["10% cut off"] == scored(6, 900)
    assert points["20% cut off"] == scored(20, 500)
    assert points["mean 450 ms"] == scored(40, 300)
    assert points["mean 600 ms"] == scored(20, 500)


def test_rows_make_the_same_turns_again() -> None:
    other = Turn("held_out", "somebody else", "clip", PAUSES[:1], None, 1.5)
    rows = [row for turn in (TURN, other) for row in to_rows(turn)]
    assert list(from_rows(rows)) == [TURN, other]


def test_the_picture_names_its_families_and_points() -> None:
    curves = {"silence": [scored(40, 300), scored(5, 900)], "model": [scored(4, 5000)]}
    picture = draw([Panel("dev & more", curves, {"default": scored(31, 700)})])
    assert picture.startswith("<svg") and picture.endswith("</svg>\n")
    for text in ("dev &amp; more", ">silence<", ">model<", ">default<"):
        assert text in picture


def test_no_speaker_is_in_both_sets() -> None:
    dev, held_out = ({clip.speaker for clip in clips} for clips in (DEV, HELD_OUT))
    assert dev and held_out and not dev & held_out


def test_no_recording_is_in_both_sets() -> None:
    dev, held_out = ({(*clip.place, clip.file) for clip in clips} for clips in (DEV, HELD_OUT))
    assert not dev & held_out


def test_speech_ends_where_it_becomes_quiet_and_not_at_a_later_knock() -> None:
    heard = np.full(SAMPLE_RATE_HZ * 2, 1e-4, dtype=np.float32)
    heard[:SAMPLE_RATE_HZ] = 0.1
    heard[samples(1900) :] = 0.9
    assert speech_end(heard, samples(1100)) == SAMPLE_RATE_HZ


def test_a_room_is_as_quiet_as_the_recording_gets() -> None:
    recording = np.full(SAMPLE_RATE_HZ, 0.1, dtype=np.float32)
    recording[samples(400) : samples(700)] = 0.01
    assert np.allclose(room_tone(recording), 0.01)
