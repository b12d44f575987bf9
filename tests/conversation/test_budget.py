"""A conversation of any length fits into the context of its LLM."""

from itertools import pairwise

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation.budget import halved, newest_within, tokens
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.settings import TurnSettings
from tests.conversation.talk import Talk

PROMPT = ChatMessage("system", "Be kind.")


def exchanges(count: int, size: int = 40) -> list[ChatMessage]:
    """A user and an agent who say their number again and again."""
    return [
        ChatMessage(role, f"{number} " * (size // 2))
        for number in range(count)
        for role in ("user", "assistant")
    ]


@pytest.mark.parametrize("budget", range(0, 400, 7))
def test_the_newest_exchanges_that_fit_are_kept_whole(budget: int) -> None:
    chat = [PROMPT, *exchanges(9), ChatMessage("user", "And now?")]
    kept = newest_within(chat, budget)
    assert kept[0] == PROMPT and kept[1].role == "user" and kept[-1] == chat[-1]
    assert list(kept[1:]) == chat[len(chat) - len(kept) + 1 :], "the newest, none left out"
    assert tokens(kept) <= budget or len(kept) == 2
    if len(kept) < len(chat):
        assert tokens([PROMPT, *chat[len(chat) - len(kept) - 1 :]]) > budget, "one more is too much"


def test_an_agent_that_spoke_first_goes_first() -> None:
    chat = [PROMPT, ChatMessage("assistant", "Hello! " * 50), *exchanges(1)]
    assert newest_within(chat, 100) == (PROMPT, *exchanges(1))


def test_half_of_a_chat_that_is_too_long() -> None:
    chat = [PROMPT, *exchanges(10), ChatMessage("user", "And now?")]
    assert list(halved(chat)) == [PROMPT, *chat[-9:]], "four of ten exchanges, and the question"
    assert tokens(halved(chat)[1:]) <= tokens(chat[1:]) // 2
    last = [ChatMessage("system", "Long. " * 1000), ChatMessage("user", "Hm?")]
    assert list(halved(last)) == last, "what cannot be left out stays"


def test_an_hour_of_talk_costs_no_more_than_the_budget() -> None:
    talk = Talk(TurnSettings(history_tokens=300))
    talk.greet()
    for number in range(60):
        talk.ask(f"Question number {number}, please?")
        talk.says(f"This is answer number {number}.", 0.5)
        talk.reply_ends()
        talk.silence(1024)
    asked = [effect.chat for effect in talk.all(ef.Reply)]
    assert len(asked) > 50
    assert all(tokens(chat) <= 300 for chat in asked)
    assert all(one.role != other.role for chat in asked for one, other in pairwise(chat))
    assert asked[-1][-1].content == "Question number 59, please?"
    assert len(asked[-1]) > 12, "as much as fits"
    assert tokens(talk.last(ef.Record).history) <= 320
