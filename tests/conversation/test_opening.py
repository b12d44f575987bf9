"""How a conversation begins and ends, and what is recorded of it."""

import numpy as np

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.states import REPLYING
from serve_app.protocol.messages import AgentAudio, Interrupt, Token
from tests.conversation.talk import SETTINGS, Talk

# --- opening and closing ---


def test_the_agent_speaks_first(talk: Talk) -> None:
    talk.open("Be kind.")
    assert talk.machine.state in REPLYING
    assert talk.sent(Token) == [Token("token001")]
    assert talk.chat() == [("system", "Be kind."), ("user", "Hello!")]


def test_without_a_prompt_the_agent_has_the_one_of_the_settings(talk: Talk) -> None:
    talk.open("")
    assert talk.chat() == [("system", SETTINGS.prompt), ("user", "Hello!")]
    assert "Echo" in SETTINGS.prompt, "a model without a name says that it is somebody else's"


def test_the_token_comes_before_its_audio(talk: Talk) -> None:
    talk.greet()
    messages = [e.message for e in talk.all(ef.Send)]
    first_audio = next(i for i, m in enumerate(messages) if isinstance(m, AgentAudio))
    assert Token("token001") in messages[:first_audio]


def test_a_second_open_is_ignored(talk: Talk) -> None:
    talk.open()
    assert talk.do(ev.Opened("Be rude.")) == []


def test_audio_before_open_is_ignored(talk: Talk) -> None:
    assert talk.do(ev.AudioReceived(np.ones(4096, dtype=np.float32))) == []


def test_close_cancels_everything_and_is_the_last_effect(talk: Talk) -> None:
    talk.open()
    talk.do(ev.CloseRequested())
    assert ef.Cancel(1) in talk.effects
    assert talk.effects[-1] == ef.CloseSocket(1000, "bye")
    assert talk.do(ev.Opened("again")) == []


def test_a_socket_that_never_opens_is_closed(talk: Talk) -> None:
    (close,) = talk.do(ev.Expired(0, ev.Timer.OPEN))
    assert isinstance(close, ef.CloseSocket) and close.code == 4408


def test_a_client_that_asks_for_no_events_gets_echo_messages_only() -> None:
    talk = Talk(events=())
    talk.greet()
    talk.ask()
    talk.says("It is a test.", 2.0)
    talk.speech(480)
    kinds = {type(effect.message) for effect in talk.all(ef.Send)}
    assert kinds == {Token, AgentAudio, Interrupt}


# --- the record ---


def test_each_committed_turn_is_recorded(talk: Talk) -> None:
    talk.greet("Hello there.")
    talk.ask("What is this?")
    user, last = talk.all(ef.Record)[-1], talk.last(ef.Reply).chat
    assert user.history == last
    talk.says("A test of this.", 3.0)
    talk.silence(1536)
    talk.speech(480)
    assert talk.last(ef.Record).tokens_issued == 3
    assert [m.role for m in talk.last(ef.Record).history] == [
        "system", "user", "assistant", "user", "assistant",
    ]  # fmt: skip
