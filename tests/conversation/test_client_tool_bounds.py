"""Tools that the client runs: the deadline for a result, and how much and how often may come."""

from dataclasses import replace

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.calls import MOST_ROUNDS
from serve_app.conversation.history import trimmed
from serve_app.conversation.settings import LONGEST_MESSAGE
from serve_app.conversation.states import State
from serve_app.conversation.tool_messages import TOO_LATE
from tests.conversation.talk import SETTINGS, Talk
from tests.conversation.tool_talk import LOOK, answers, asked, calls, opened, plays, valid


@pytest.fixture
def talk() -> Talk:
    return opened()


def test_a_result_that_never_comes_is_an_error_that_the_agent_is_told_of(talk: Talk) -> None:
    calls(talk)
    talk.wait(SETTINGS.tool_timeout_ms / 1000 - 1)
    assert talk.machine.state is State.WAITING
    talk.wait(2)
    assert talk.machine.state is State.PREPARING
    assert asked(talk)[-1] == ("tool", TOO_LATE, "a")


def test_a_result_after_the_deadline_still_counts(talk: Talk) -> None:
    calls(talk)
    talk.wait(SETTINGS.tool_timeout_ms / 1000)
    talk.says("It takes long.", 1.0)
    talk.reply_ends()
    answers(talk)
    plays(talk)
    assert asked(talk)[-2:] == [("assistant", "It takes long.", "a"), ("tool", "a cup", "a")]


def test_the_deadline_passes_in_any_turn(talk: Talk) -> None:
    calls(talk)
    talk.ask("Hurry up.")
    talk.wait(SETTINGS.tool_timeout_ms / 1000)
    talk.says("I do.", 1.0)
    talk.reply_ends()
    plays(talk)
    assert talk.machine.state is State.PREPARING
    assert asked(talk)[-1] == ("tool", TOO_LATE, "a")


def test_nobody_is_asked_whether_they_are_there_while_a_tool_runs() -> None:
    talk = opened(replace(SETTINGS, idle_prompt_ms=4000))
    calls(talk)
    talk.wait(8)
    assert not talk.all(ef.Say)
    talk.do(ev.ToolAnswered("a", "a cup"))
    talk.wait(8)
    assert len(talk.all(ef.Say)) == 1


def test_an_agent_that_goes_on_is_not_cut_short_because_the_user_is_silent() -> None:
    talk = opened(replace(SETTINGS, idle_close_ms=8000))
    calls(talk)
    answers(talk)
    talk.says("A cup, of which there is much to say.", 20.0)
    talk.reply_ends()
    talk.wait(12)
    assert talk.machine.state is State.SPEAKING
    talk.wait(12)
    assert talk.machine.state is State.WAITING
    talk.wait(8)
    assert talk.machine.state is State.ENDED


def test_results_that_nobody_waits_for_do_not_keep_a_session_open() -> None:
    talk = Talk(replace(SETTINGS, idle_close_ms=8000))
    talk.open(greeting="", tools=(LOOK,))
    for _ in range(10):
        talk.wait(1)
        answers(talk, "nobody")
    assert talk.machine.state is State.ENDED


def test_a_client_cannot_keep_the_agent_busy_for_ever(talk: Talk) -> None:
    for number in range(MOST_ROUNDS):
        assert talk.last(ef.Reply).offer.may_call
        calls(talk, f"a{number}")
        answers(talk, f"a{number}", "x" * 2 * LONGEST_MESSAGE)
    assert not talk.last(ef.Reply).offer.may_call
    assert sum(message.size for message in talk.last(ef.Reply).chat) < 2 * LONGEST_MESSAGE
    talk.says("I give up.", 1.0)
    talk.reply_ends()
    plays(talk)
    talk.ask("Go on.")
    assert talk.last(ef.Reply).offer.may_call, "a new turn has new rounds"


def test_many_long_results_are_together_no_longer_than_a_message(talk: Talk) -> None:
    ids = [f"a{number}" for number in range(16)]
    calls(talk, *ids)
    for id_ in ids:
        answers(talk, id_, "x" * 9000)
    results = [m.content for m in talk.last(ef.Reply).chat if m.role == "tool"]
    assert sum(map(len, results)) <= LONGEST_MESSAGE + 1000
    assert results[-1].endswith("(cut off here)") and results[0] == "(left out)"


@pytest.mark.parametrize("max_chars", range(0, 400, 7))
def test_a_history_that_is_cut_stays_valid(talk: Talk, max_chars: int) -> None:
    calls(talk, "a", "b")
    answers(talk, "a", "x" * 200)
    answers(talk, "b", "y" * 20)
    valid(trimmed(talk.last(ef.Record).history, max_chars))
    talk.says("Two things.", 1.0)
    talk.reply_ends()
    plays(talk)
    kept = trimmed(talk.last(ef.Record).history, max_chars)
    assert valid(kept)[-1][1], "the last words stay"
