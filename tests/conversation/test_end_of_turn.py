"""When the end-of-turn model is asked, in a silence that goes on and on."""

from collections.abc import Callable

import pytest

from serve_app.conversation.end_of_turn import EndOfTurn
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.turn import Turn

FRAME_MS = 32
SETTINGS = TurnSettings(judge_silence_ms=256, end_silence_ms=416, likely_silence_ms=800)
FIRST_MS, AGAIN_MS, LAST_MS = 96, 256, 640
"""At once for the draft, before the turn can end, and before a turn in doubt can."""


def asked(answer: Callable[[int], float | None], settings: TurnSettings = SETTINGS) -> list[int]:
    """After which silences the model is asked, if it answers with `answer` of each of these at
    once."""
    rules, turn, found = EndOfTurn(settings), Turn(1, 0), list[int]()
    for silence_ms in range(FRAME_MS, settings.max_silence_ms, FRAME_MS):
        if rules.is_judgement_due(turn, silence_ms):
            found.append(silence_ms)
            turn.asked_ms, turn.complete = silence_ms, answer(silence_ms)
    return found


@pytest.mark.parametrize("complete", [0.1, 0.5, 0.96])
def test_in_doubt_it_is_asked_again_before_the_turn_can_end(complete: float) -> None:
    assert asked(lambda _: complete) == [FIRST_MS, AGAIN_MS, LAST_MS]


@pytest.mark.parametrize("complete", [0.09, 0.97])
def test_a_clear_answer_stands_until_a_turn_in_doubt_could_end(complete: float) -> None:
    assert asked(lambda _: complete) == [FIRST_MS, LAST_MS]


def test_while_it_has_not_answered_it_is_not_asked_again_too_soon() -> None:
    """A second question would wait behind the first."""
    assert asked(lambda _: None) == [FIRST_MS, LAST_MS]


def test_an_answer_that_changes_does_not_change_how_often_it_is_asked() -> None:
    assert asked(lambda at_ms: 0.5 if at_ms < AGAIN_MS else 0.99) == [FIRST_MS, AGAIN_MS, LAST_MS]


def test_where_no_turn_waits_longer_there_is_no_last_time() -> None:
    settings = TurnSettings(judge_silence_ms=192, end_silence_ms=400, likely_silence_ms=400)
    assert asked(lambda _: 0.5, settings) == [FIRST_MS, 192]
    early = TurnSettings(judge_silence_ms=64, end_silence_ms=128, likely_silence_ms=128)
    assert asked(lambda _: 0.5, early) == [64]
