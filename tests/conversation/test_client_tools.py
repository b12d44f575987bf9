"""Tools that the client runs: the call, the result, and a history that is valid whatever happens
between the two."""

from dataclasses import replace

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.calls import Step
from serve_app.conversation.history import PENDING
from serve_app.conversation.states import State
from serve_app.protocol.messages import Interrupt, StateChanged, Token, ToolCall
from tests.conversation.talk import SETTINGS, Talk
from tests.conversation.tool_talk import (
    LOOK,
    QUESTION,
    answers,
    asked,
    call,
    calls,
    opened,
    plays,
    recorded,
)


@pytest.fixture
def talk() -> Talk:
    return opened()


# --- call and result ---


def test_a_client_that_offers_tools_is_asked_for_one_and_the_agent_goes_on(talk: Talk) -> None:
    assert talk.last(ef.Reply).offer.tools == (LOOK,)
    talk.says("Let me look.", 1.0)
    calls(talk)
    assert talk.sent(ToolCall) == [ToolCall(talk.machine.generation, "a", "look", '{"at": "it"}')]
    assert recorded(talk) == [QUESTION, ("assistant", "", "a"), ("tool", PENDING, "a")]
    plays(talk)
    assert talk.machine.state is State.WAITING
    said = ("assistant", "Let me look.", "a")
    assert recorded(talk) == [QUESTION, said, ("tool", PENDING, "a")]
    answers(talk)
    assert talk.machine.state is State.PREPARING
    assert asked(talk) == [QUESTION, said, ("tool", "a cup", "a")]
    talk.says("A cup.", 1.0)
    talk.reply_ends()
    plays(talk)
    assert recorded(talk)[-1] == ("assistant", "A cup.")


def test_no_tools_are_offered_to_an_agent_whose_client_has_none() -> None:
    talk = Talk()
    talk.open()
    assert talk.last(ef.Reply).offer.tools == ()


def test_a_result_that_comes_while_the_agent_speaks_is_gone_on_with_after_that(talk: Talk) -> None:
    talk.says("Let me look.", 1.0)
    calls(talk)
    answers(talk)
    assert talk.machine.state is State.SPEAKING, "it is not interrupted"
    plays(talk)
    assert talk.machine.state is State.PREPARING
    assert asked(talk) == [QUESTION, ("assistant", "Let me look.", "a"), ("tool", "a cup", "a")]
    assert not talk.sent(Interrupt)
    assert talk.states()[-2:] == ["waiting", "replying"], "they are two replies"


def test_a_result_that_comes_before_a_silent_reply_has_ended(talk: Talk) -> None:
    talk.do(ev.ToolsCalled(*talk.reply, (Step((call(),), (None,)),)))
    answers(talk)
    assert talk.machine.state is State.PREPARING and len(talk.all(ef.Reply)) == 1
    talk.reply_ends()
    assert talk.machine.state is State.PREPARING and len(talk.all(ef.Reply)) == 2
    assert talk.states()[-2:] == ["waiting", "replying"]
    assert len(talk.sent(Token)) == 1, "nothing was sent with it"


def test_the_agent_goes_on_once_no_result_is_missing(talk: Talk) -> None:
    calls(talk, "a", "b")
    assert [sent.call_id for sent in talk.sent(ToolCall)] == ["a", "b"]
    answers(talk, "b", "a spoon")
    assert talk.machine.state is State.WAITING
    answers(talk, "a", "a cup")
    assert asked(talk)[1:] == [
        ("assistant", "", "a", "b"),
        ("tool", "a cup", "a"),
        ("tool", "a spoon", "b"),
    ]


def test_a_result_alone_asks_for_nothing(talk: Talk) -> None:
    calls(talk)
    talk.do(ev.ToolAnswered("a", "a cup"))
    assert talk.machine.state is State.WAITING
    talk.do(ev.ReplyRequested())
    assert talk.machine.state is State.PREPARING


def test_a_reply_that_nothing_asks_for_is_not_given(talk: Talk) -> None:
    talk.says("A cup.", 1.0)
    talk.reply_ends()
    talk.do(ev.ReplyRequested())
    plays(talk)
    assert talk.machine.state is State.WAITING and len(talk.all(ef.Reply)) == 1
    talk.do(ev.ReplyRequested())
    assert talk.machine.state is State.WAITING


@pytest.mark.parametrize("id_", ["b", "", "x" * 100])
def test_a_result_that_nobody_waits_for_is_ignored(talk: Talk, id_: str) -> None:
    calls(talk)
    before = talk.last(ef.Record).history
    answers(talk, id_)
    assert talk.machine.state is State.WAITING and talk.last(ef.Record).history == before
    answers(talk)
    answers(talk, "a", "another cup")
    assert ("tool", "a cup", "a") in recorded(talk)


def test_the_servers_own_rounds_before_the_call_are_kept(talk: Talk) -> None:
    first, second = Step((call("a"),), ("a key",)), Step((call("a"), call("")), ("yes", None))
    talk.do(ev.ToolsCalled(*talk.reply, (first, second)))
    talk.reply_ends()
    (sent,) = talk.sent(ToolCall)
    assert len(sent.call_id) == 9 and sent.call_id.isalnum(), "what Mistral takes"
    assert [m[1] for m in recorded(talk) if m[0] == "tool"] == ["a key", "yes", PENDING]
    answers(talk, sent.call_id)
    assert asked(talk)[-1] == ("tool", "a cup", sent.call_id)


def test_the_state_between_two_replies_is_told_once(talk: Talk) -> None:
    calls(talk)
    answers(talk)
    told = [message.state for message in talk.sent(StateChanged)]
    assert told[-3:] == ["replying", "waiting", "replying"]


# --- whatever happens in between ---


def test_who_speaks_before_the_result_is_answered_and_the_chat_is_valid(talk: Talk) -> None:
    calls(talk)
    talk.ask("Hurry up.")
    assert asked(talk)[-2:] == [("tool", PENDING, "a"), ("user", "Hurry up.")]
    talk.says("I do.", 1.0)
    talk.reply_ends()
    talk.do(ev.ToolAnswered("a", "a cup"))
    talk.do(ev.ReplyRequested())
    assert talk.machine.state is State.SPEAKING
    plays(talk)
    assert talk.machine.state is State.PREPARING
    assert asked(talk) == [
        QUESTION,
        ("user", "Hurry up."),
        ("assistant", "I do.", "a"),
        ("tool", "a cup", "a"),
    ], "the result is what it has to answer"


def test_a_result_that_comes_while_the_user_speaks_is_seen_with_the_turn(talk: Talk) -> None:
    calls(talk)
    talk.speech(640)
    answers(talk)
    assert talk.machine.state is State.LISTENING
    talk.silence(480)
    talk.transcript("Well?")
    assert asked(talk)[-2:] == [("tool", "a cup", "a"), ("user", "Well?")]
    talk.says("A cup.", 1.0)
    talk.reply_ends()
    plays(talk)
    assert talk.machine.state is State.WAITING, "it was answered"


def test_mere_noise_does_not_keep_the_agent_from_going_on(talk: Talk) -> None:
    calls(talk)
    talk.speech(640)
    answers(talk)
    talk.silence(480)
    talk.transcript("")
    assert talk.machine.state is State.PREPARING and asked(talk)[-1] == ("tool", "a cup", "a")


def test_who_interrupts_the_words_before_a_call_has_not_undone_it(talk: Talk) -> None:
    talk.says("Let me look at it very closely.", 3.0)
    calls(talk)
    talk.speech(1600)
    talk.silence(480)
    talk.transcript("No, wait.")
    chat = asked(talk)
    assert chat[0] == QUESTION and chat[2:] == [("tool", PENDING, "a"), ("user", "No, wait.")]
    role, heard, id_ = chat[1]
    assert (role, id_) == ("assistant", "a") and heard and "Let me look".startswith(heard[:11])


def test_what_was_unheard_before_a_call_is_said_after_a_noise(talk: Talk) -> None:
    talk.says("Let me look at it very closely.", 3.0)
    calls(talk)
    talk.silence(1536)
    talk.speech(640)
    talk.silence(480)
    talk.transcript("")
    assert len(talk.all(ef.Reply)) == 1, "nothing is asked for again"
    talk.silence(3200)
    talk.do(ev.PlaybackWaiting())
    whole = ("assistant", "Let me look at it very closely.", "a")
    assert recorded(talk)[1:] == [whole, ("tool", PENDING, "a")]


def test_a_call_is_not_repeated_when_the_agent_dies_after_it(talk: Talk) -> None:
    talk.do(ev.ToolsCalled(*talk.reply, (Step((call(),), (None,)),)))
    talk.do(ev.ReplyFailed(*talk.reply, "agent", "gone"))
    assert talk.machine.state is State.WAITING and len(talk.all(ef.Reply)) == 1
    assert len(talk.sent(ToolCall)) == 1


def test_a_draft_that_needs_a_tool_is_declined_and_asked_for_again() -> None:
    talk = Talk(replace(SETTINGS, max_drafts=1))
    talk.open(greeting="", tools=(LOOK,))
    talk.speech(960)
    talk.silence(192)
    talk.transcript("What is this?")
    talk.silence(192)
    assert talk.last(ef.Reply).is_draft and talk.last(ef.Reply).offer.tools
    talk.do(ev.ToolsCalled(*talk.reply, (Step((call(),), (None,)),)))
    assert not talk.sent(ToolCall), "not before the turn is over"
    talk.do(ev.DraftDeclined(*talk.reply))
    talk.silence(480)
    assert not talk.last(ef.Reply).is_draft
