"""When the user's turn ends, as scores in virtual time: see test_scores.py."""

from dataclasses import replace

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation.states import State
from serve_app.protocol.messages import StateChanged
from tests.conversation.score import Models, Noise, Says, Score
from tests.conversation.scores import QUESTION, SETTINGS, story


def end_of_turn(score: Score) -> float:
    """When the first turn was ended."""
    return next(at_s for at_s, m in score.sent(StateChanged) if m.state != "listening" and at_s > 1)


def test_a_complete_turn_ends_soon() -> None:
    assert end_of_turn(story()) - 2.0 == pytest.approx(0.4, abs=0.05)


def test_an_incomplete_turn_is_waited_for_and_is_one_turn() -> None:
    """pipecat#4108, #4279: cut off, or odd delays. A pause to think is neither."""
    score = Score([Says(1, 2, "I would like..."), Says(2.7, 3.5, "a cup of tea.")], SETTINGS).play(
        8
    )
    assert score.talk == ["user: I would like... a cup of tea.", "agent: It is a test."]
    assert score.audio_between(0, 3.5) == 0


def test_an_incomplete_turn_ends_all_the_same() -> None:
    score = Score([Says(1, 2, "I would like...")], SETTINGS).play(8)
    assert end_of_turn(score) - 2.0 <= 1.6 + 0.1
    assert score.talk[0] == "user: I would like..."


@pytest.mark.parametrize("models", [Models(has_judge=False), Models(judge_is_mute=True)])
def test_without_the_models_answer_silence_decides(models: Models) -> None:
    """pipecat#4950: a model that does not answer must not hang the turn."""
    assert 0.4 <= end_of_turn(story(models=models)) - 2.0 <= 0.8


def test_the_endpoint_adapts_to_the_speakers_own_pauses() -> None:
    pauses = [Says(1 + 1.4 * i, 1.7 + 1.4 * i, f"part{i}...") for i in range(8)]
    hasty, slow = [QUESTION], [*pauses, Says(12.2, 13.2, "Done...")]
    models = Models(has_judge=False)
    first = Score(hasty, SETTINGS, models).play(6)
    later = Score(slow, replace(SETTINGS, end_silence_ms=400), Models()).play(18)
    assert end_of_turn(first) < 2.9
    assert len([line for line in later.talk if line.startswith("user")]) == 1, later.talk
    wait_s = later.sent(StateChanged)[2][0] - 13.2
    assert 1.3 <= wait_s <= 1.6, "twice the pauses of 0.7 s"


def test_a_short_yes_is_heard() -> None:
    """pipecat#984."""
    score = Score([Says(1.0, 1.2, "Yes.")], SETTINGS).play(4)
    assert score.talk[0] == "user: Yes."


def test_a_click_is_no_turn() -> None:
    score = Score([Noise(1.0, 1.06)], SETTINGS).play(4)
    assert not score.asked(ef.Transcribe) and not score.asked(ef.Reply)


def test_noise_costs_no_llm_call() -> None:
    score = Score([Noise(1.0, 1.6)], SETTINGS).play(4)
    assert score.asked(ef.Transcribe) and not score.asked(ef.Reply)
    assert score.machine.state is State.WAITING


def test_speech_while_transcribing_joins_the_turn() -> None:
    slow = Models(stt_s=1.0)
    score = Score([Says(1, 2, "I would like"), Says(2.6, 3.4, "a cup of tea.")], SETTINGS, slow)
    assert score.play(9).talk[0] == "user: I would like a cup of tea."


def test_speech_before_the_answer_is_heard_joins_the_turn() -> None:
    slow = Models(llm_s=1.5)
    score = Score([Says(1, 2, "I would like"), Says(2.8, 3.6, "a cup of tea.")], SETTINGS, slow)
    score.play(9)
    assert score.talk[-1] == "agent: It is a test."
    last = [e for _, e in score.effects if isinstance(e, ef.Reply)][-1]
    assert last.chat[-1].content == "I would like a cup of tea."
    assert score.audio_between(0, 3.6) == 0


def test_forty_seconds_without_a_breath_lose_no_word() -> None:
    monologue = " ".join(f"word{i}" for i in range(120))
    score = Score([Says(1, 41, monologue)], SETTINGS).play(45)
    assert score.talk[0] == f"user: {monologue}"
    assert len(score.asked(ef.Transcribe)) == 2
