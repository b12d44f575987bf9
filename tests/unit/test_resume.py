"""A conversation that loses its socket or its process and goes on, as scores in virtual time."""

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.history import Message, Record
from serve_app.protocol.messages import GoAway, StateChanged
from tests.unit.score import Says, Score
from tests.unit.scores import ANSWER_STARTS_S, QUESTION, SETTINGS, STORY, story

ASKED = (Message("system", "Be kind."), Message("user", "Tell me a story."))


def lost(at_s: float, *sounds: Says) -> Score:
    """The socket of a story is lost."""
    cues = [(at_s, ev.Disconnected())]
    return story(*sounds, cues=cues, muted_from_s=at_s, until_s=at_s + 5)


def closing(score: Score) -> tuple[float, int]:
    """When and with which code the conversation ended."""
    return next((at_s, e.code) for at_s, e in score.effects if isinstance(e, ef.CloseSocket))


def resumed(record: Record, *sounds: Says) -> Score:
    return Score(sounds, SETTINGS, record=record, answer=lambda chat: STORY).play(12.0)


# --- the socket is lost: what is under way is brought to a record ---


def test_what_was_heard_of_a_reply_is_kept() -> None:
    score = lost(ANSWER_STARTS_S + 2.0)
    heard = score.last_record.history[-1]
    assert heard.role == "assistant"
    assert STORY.startswith(heard.content) and 4 <= len(heard.content.split()) <= 10
    assert closing(score) == (ANSWER_STARTS_S + 2.0, 1001)


def test_a_reply_that_nobody_heard_is_not_in_the_history() -> None:
    score = lost(2.42)
    assert score.last_record.history == ASKED


@pytest.mark.parametrize("at_s", [1.9, 2.1, 2.35])
def test_what_the_user_was_saying_is_transcribed_and_not_answered(at_s: float) -> None:
    """In the middle of the words, in the silence after them, while the text is awaited."""
    score = lost(at_s)
    *_, last = score.last_record.history
    assert last.role == "user" and "Tell me a" in last.content
    assert closing(score)[0] <= at_s + 0.3
    assert score.audio_between(at_s, 99) == 0


def test_a_client_that_is_lost_while_nobody_speaks_leaves_at_once() -> None:
    score = Score([], SETTINGS, cues=[(1.0, ev.Disconnected())]).play(3.0)
    assert closing(score) == (1.0, 1001)


# --- it goes on elsewhere ---


def test_a_question_that_was_not_answered_is_asked_again() -> None:
    score = resumed(Record(ASKED, 4, 2))
    assert score.talk == [f"agent: {STORY}"]
    assert score.last_record.history == (*ASKED, Message("assistant", STORY))
    assert score.machine.generation == 5


def test_an_answer_that_was_heard_is_not_given_again() -> None:
    history = (*ASKED, Message("assistant", "One two"))
    score = resumed(Record(history, 4, 2), Says(3.0, 4.0, "Go on."))
    assert score.audio_between(0, 4.0) == 0, "nor is there a second greeting"
    assert score.talk == ["user: Go on.", f"agent: {STORY}"]
    assert score.last_record.history[: len(history)] == history
    assert score.last_record.tokens_issued == 3


def test_the_client_learns_the_state() -> None:
    history = (*ASKED, Message("assistant", "One two"))
    states = resumed(Record(history, 4, 2)).sent(StateChanged)
    assert [message.state for _, message in states] == ["waiting"]


# --- the server is going to stop ---


def test_a_turn_is_finished_before_the_server_stops() -> None:
    score = story(cues=[(ANSWER_STARTS_S + 1.0, ev.Draining(20.0))])
    ((told_s, message),) = score.sent(GoAway)
    assert (told_s, message) == (ANSWER_STARTS_S + 1.0, GoAway(20_000))
    assert score.talk[-1] == f"agent: {STORY}"
    assert closing(score)[1] == 1012
    assert closing(score)[0] > ANSWER_STARTS_S + 3.5


def test_what_is_being_said_is_answered_before_the_server_stops() -> None:
    score = story(cues=[(1.5, ev.Draining(20.0))])
    assert score.talk == ["user: Tell me a story.", f"agent: {STORY}"]
    assert closing(score)[1] == 1012


def test_a_session_without_a_turn_moves_at_once() -> None:
    score = Score([QUESTION], SETTINGS, cues=[(0.5, ev.Draining(20.0))]).play(3.0)
    assert closing(score) == (0.5, 1012)
    assert score.talk == []
