"""Tools that the client runs: the call, the result, and a history that is valid whatever happens
between the two."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.calls import MOST_ROUNDS, Call, Step
from serve_app.conversation.history import PENDING, ChatMessage, trimmed
from serve_app.conversation.settings import LONGEST_MESSAGE
from serve_app.conversation.states import State
from serve_app.conversation.tool_messages import TOO_LATE
from serve_app.protocol.messages import EVENTS, Interrupt, StateChanged, Token, ToolCall
from serve_app.protocol.tools import Tool
from tests.conversation.talk import SETTINGS, Talk

LOOK = Tool("look", "Looks.", '{"type": "object"}')
QUESTION = ("user", "What is this?")


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    talk.open(greeting="", tools=(LOOK,))
    talk.ask()
    return talk


def call(id_: str = "a") -> Call:
    return Call(id_, "look", '{"at": "it"}')


def calls(talk: Talk, *ids: str) -> None:
    """The reply ends with these."""
    asked = tuple(map(call, ids or ("a",)))
    talk.do(ev.ToolsCalled(*talk.reply, (Step(asked, (None,) * len(asked)),)))
    talk.reply_ends()


def answers(talk: Talk, id_: str = "a", output: str = "a cup") -> None:
    """As Echo's clients do."""
    talk.do(ev.ToolAnswered(id_, output))
    talk.do(ev.ReplyRequested())


def plays(talk: Talk) -> None:
    """All of the reply."""
    talk.silence(1536)
    talk.do(ev.PlaybackWaiting())


def valid(chat: Sequence[ChatMessage]) -> list[tuple[Any, ...]]:
    """The chat, in short. Each call is followed by its result, and no result is alone."""
    due: list[str] = []
    for message in chat:
        if message.role == "tool":
            assert message.call_id == due.pop(0), "in the order of the calls"
        else:
            assert not due, "a call without a result"
            due = [call.id for call in message.calls]
    assert not due
    ids = [message.call_id for message in chat if message.call_id]
    assert len(set(ids)) == len(ids)
    return [
        (m.role, m.content, *(call.id for call in m.calls), *([m.call_id] if m.call_id else []))
        for m in chat[1:]
    ]


def asked(talk: Talk) -> list[tuple[Any, ...]]:
    return valid(talk.last(ef.Reply).chat)


def recorded(talk: Talk) -> list[tuple[Any, ...]]:
    return valid(talk.last(ef.Record).history)


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


# --- the deadline, and other bounds ---


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
    talk = Talk(replace(SETTINGS, idle_prompt_ms=4000))
    talk.open(greeting="", tools=(LOOK,))
    talk.ask()
    calls(talk)
    talk.wait(8)
    assert not talk.all(ef.Say)
    talk.do(ev.ToolAnswered("a", "a cup"))
    talk.wait(8)
    assert len(talk.all(ef.Say)) == 1


def test_an_agent_that_goes_on_is_not_cut_short_because_the_user_is_silent() -> None:
    talk = Talk(replace(SETTINGS, idle_close_ms=8000))
    talk.open(greeting="", tools=(LOOK,))
    talk.ask()
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


# --- a client that comes back ---


def resumed(talk: Talk, **options: Any) -> Talk:
    again, record = Talk(), talk.last(ef.Record)
    again.do(ev.Opened("", EVENTS, record=record, is_resumable=True, tools=(LOOK,), **options))
    return again


@pytest.fixture
def lasting() -> Talk:
    talk = Talk()
    talk.open(greeting="", tools=(LOOK,), is_resumable=True)
    talk.ask()
    return talk


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


def test_the_state_between_two_replies_is_told_once(talk: Talk) -> None:
    calls(talk)
    answers(talk)
    told = [message.state for message in talk.sent(StateChanged)]
    assert told[-3:] == ["replying", "waiting", "replying"]
