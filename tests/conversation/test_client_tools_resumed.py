"""Tools that the client runs, when it comes back on another socket."""

from typing import Any

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.states import State
from serve_app.conversation.tool_messages import TOO_LATE
from serve_app.protocol.messages import EVENTS, ToolCall
from tests.conversation.talk import SETTINGS, Talk
from tests.conversation.tool_talk import LOOK, QUESTION, answers, asked, calls, opened, plays


def resumed(talk: Talk, **options: Any) -> Talk:
    again, record = Talk(), talk.last(ef.Record)
    again.do(ev.Opened("", EVENTS, record=record, is_resumable=True, tools=(LOOK,), **options))
    return again


@pytest.fixture
def lasting() -> Talk:
    return opened(is_resumable=True)


def test_a_call_is_sent_again_to_a_client_that_comes_back(lasting: Talk) -> None:
    calls(lasting)
    again = resumed(lasting)
    assert [sent.call_id for sent in again.sent(ToolCall)] == ["a"]
    assert again.machine.state is State.WAITING
    answers(again)
    assert asked(again) == [QUESTION, ("assistant", "", "a"), ("tool", "a cup", "a")]


def test_the_deadline_begins_again_with_the_socket(lasting: Talk) -> None:
    calls(lasting)
    again = resumed(lasting)
    again.wait(SETTINGS.tool_timeout_ms / 1000)
    assert asked(again)[-1] == ("tool", TOO_LATE, "a")


def test_a_result_that_was_recorded_is_answered_at_the_next_socket(lasting: Talk) -> None:
    calls(lasting)
    answers(lasting)
    again = resumed(lasting)
    assert again.machine.state is State.PREPARING and not again.sent(ToolCall)
    assert asked(again)[-1] == ("tool", "a cup", "a")


def test_the_words_before_a_call_are_said_to_the_end_at_the_next_socket(lasting: Talk) -> None:
    lasting.says("Let me look at it very closely.", 3.0)
    calls(lasting)
    again = resumed(lasting)
    assert again.last(ef.Say).text == "Let me look at it very closely."
    answers(again)
    again.says(again.last(ef.Say).text, 3.0)
    again.reply_ends()
    plays(again)
    plays(again)
    assert asked(again) == [
        QUESTION,
        ("assistant", "Let me look at it very closely.", "a"),
        ("tool", "a cup", "a"),
    ]
