"""A client that runs tools: what it does, and what is in the history."""

from collections.abc import Sequence
from typing import Any

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.calls import Call, Step
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.settings import TurnSettings
from serve_app.protocol.tools import Tool
from tests.conversation.talk import Talk

LOOK = Tool("look", "Looks.", '{"type": "object"}')
QUESTION = ("user", "What is this?")


def opened(settings: TurnSettings | None = None, **options: Any) -> Talk:
    """The client has tools, and the user has asked for something."""
    talk = Talk(settings)
    talk.open(greeting="", tools=(LOOK,), **options)
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
