"""How long a silence has to be to end a turn: patience, what the words say, and the presets."""

from dataclasses import replace
from typing import Any

import pytest

from serve_app.conversation.endings import Ending, ending
from serve_app.conversation.patience import Patience
from serve_app.conversation.presets import PRESETS
from serve_app.conversation.settings import TurnSettings, with_client_settings


def wait_ms(patience: Patience, complete: float | None, ending: Ending = Ending.UNKNOWN) -> float:
    return patience.silence_ms(complete, ending)


def test_a_turn_that_is_complete_ends_at_once_and_others_by_the_speakers_own_pauses() -> None:
    settings = TurnSettings(end_silence_ms=400, likely_silence_ms=600, max_silence_ms=2000)
    patience = Patience(settings)
    before = wait_ms(patience, None), wait_ms(patience, 0.1)
    for _ in range(10):
        patience.note(900)
    assert wait_ms(patience, 0.95) == 400
    assert wait_ms(patience, 0.6) == 600
    assert before[0] < wait_ms(patience, None) <= 900
    assert before[1] < wait_ms(patience, 0.1) <= 1800
    for _ in range(20):
        patience.note(9000)
    assert wait_ms(patience, 0.1) == 2000
    assert wait_ms(patience, None) == pytest.approx(2000, rel=0.01)
    for _ in range(40):
        patience.note(200)
    assert wait_ms(patience, None) == 400
    assert wait_ms(patience, 0.1) == 600, "no sooner than a turn that may be complete"


def test_words_that_sound_unfinished_need_a_sure_model() -> None:
    patience = Patience(TurnSettings(unfinished_threshold=0.95))
    long_ms = wait_ms(patience, 0.1)
    assert wait_ms(patience, 0.93, Ending.UNFINISHED) == long_ms
    assert wait_ms(patience, 0.97, Ending.UNFINISHED) == TurnSettings().end_silence_ms
    never = Patience(TurnSettings(unfinished_threshold=1.0))
    assert wait_ms(never, 0.99, Ending.UNFINISHED) == long_ms


def test_a_whole_sentence_is_not_waited_for_as_long_as_half_of_one() -> None:
    settings = TurnSettings()
    patience = Patience(settings)
    assert wait_ms(patience, 0.1, Ending.SENTENCE) == settings.sentence_silence_ms
    assert wait_ms(patience, 0.1) > settings.sentence_silence_ms
    assert wait_ms(patience, 0.95, Ending.SENTENCE) == settings.end_silence_ms
    for _ in range(20):
        patience.note(200)
    assert wait_ms(patience, 0.1, Ending.SENTENCE) == settings.likely_silence_ms


def test_a_short_answer_to_a_question_needs_no_model() -> None:
    patience = Patience(TurnSettings())
    assert wait_ms(patience, 0.1, Ending.ANSWER) == TurnSettings().end_silence_ms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is this?", Ending.SENTENCE),
        ("I would like a cup of tea.", Ending.SENTENCE),
        ("I would like a cup of", Ending.UNFINISHED),
        ("I would like a cup of tea,", Ending.UNFINISHED),
        ("I'm not sure, but...", Ending.UNFINISHED),
        ("I took the train because.", Ending.UNFINISHED),
        ("Uh.", Ending.UNFINISHED),
        ("My number is five five one.", Ending.UNFINISHED),
        ("0 4 9, 3 0.", Ending.UNFINISHED),
        ("Give me five.", Ending.SENTENCE),
        ("It is spelled M U.", Ending.UNFINISHED),
        ("\u5b8c\u4e86\u3002", Ending.SENTENCE),
        ("", Ending.UNKNOWN),
        ("(noise)", Ending.UNKNOWN),
        ("It is late. " * 100, Ending.SENTENCE),
        ("It is late, and " * 100, Ending.UNFINISHED),
    ],
)
def test_what_the_words_say_about_the_end(text: str, expected: Ending) -> None:
    assert ending(text, question="") is expected


@pytest.mark.parametrize(
    ("text", "question", "expected"),
    [
        ("Yes, please.", "Shall I book it?", True),
        ("No.", "Is that all?", True),
        ("No.", "That is all.", False),
        ("Yes, but I would like another one.", "Is that all?", False),
        ("The blue one.", "Which one?", False),
        ("", "Is that all?", False),
    ],
)
def test_a_short_answer(text: str, question: str, expected: bool) -> None:
    assert (ending(text, question) is Ending.ANSWER) is expected


# --- presets ---


def test_balanced_is_the_default() -> None:
    assert TurnSettings(**PRESETS["balanced"]) == TurnSettings()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PRESETS)
def test_a_client_can_name_a_preset_and_change_it(name: str) -> None:
    chosen = with_client_settings(TurnSettings(), {"preset": name, "max_silence_ms": 1200})
    assert chosen == replace(TurnSettings(), **{**PRESETS[name], "max_silence_ms": 1200})


@pytest.mark.parametrize("name", ["hasty", 3, ["quick"]])
def test_an_unknown_preset_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="preset must be quick, balanced, patient, not"):
        with_client_settings(TurnSettings(), {"preset": name})


def test_each_preset_waits_for_longer_than_the_one_before() -> None:
    for complete in (0.1, 0.6, 0.8, 0.95, 0.99):
        waits = [
            wait_ms(Patience(replace(TurnSettings(), **preset)), complete)
            for preset in PRESETS.values()
        ]
        assert waits == sorted(waits)
