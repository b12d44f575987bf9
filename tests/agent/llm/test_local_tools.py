"""What chat models in this process are told of tools, and what counts as a call of theirs."""

import pytest

from serve_app.agent.llm.local.offered import Offered
from serve_app.agent.llm.local.prompt import Prompt, alone, in_plain_words
from serve_app.agent.llm.tool_calls import ToolCall, ToolCallDelta, ToolSpec, ToolStep
from serve_app.conversation.calls import Call
from serve_app.conversation.history import ChatMessage

ROOM = {"type": "string"}
STATE = {"type": "string", "enum": ["on", "off"]}
WEATHER = ToolSpec("weather", "", {"type": "object", "properties": {"city": {"type": "string"}}})
LIGHT = ToolSpec("light", "", {"type": "object", "properties": {"room": ROOM, "state": STATE}})
ROME = '{"name": "weather", "arguments": {"city": "Rome"}}'
SYSTEM = ChatMessage("system", "Be brief.")
LONGEST = 100


def user(text: str) -> ChatMessage:
    return ChatMessage("user", text)


def agent(text: str, *calls: Call) -> ChatMessage:
    return ChatMessage("assistant", text, calls)


def result(call_id: str, text: str) -> ChatMessage:
    return ChatMessage("tool", text, call_id=call_id)


def step(text: str, *results: str) -> ToolStep:
    calls = tuple(ToolCall(f"c{i}", "weather", "{}") for i, _ in enumerate(results))
    return ToolStep(text, calls, results)


def heard(offered: Offered, *pieces: str | ToolCallDelta) -> str:
    return "".join([*(offered.take(piece) for piece in pieces), offered.end()])


def asked(offered: Offered, words: str | None = None) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in offered.calls(words)]


# --- results in plain words ---


def test_a_chat_without_calls_is_told_as_it_is() -> None:
    chat = (SYSTEM, user("Hello!"), agent("Hi!"), user("How are you?"))
    assert in_plain_words(chat, (), LONGEST) == chat


def test_results_are_told_after_the_users_words() -> None:
    chat = (SYSTEM, user("How is the weather?"))
    assert in_plain_words(chat, [step("", "Sunny.", "Cold.")], LONGEST) == (
        SYSTEM,
        user("How is the weather?\n\nWhat weather says: Sunny.\n\nWhat weather says: Cold."),
    )


def test_words_before_a_call_stay_the_agents() -> None:
    chat = (SYSTEM, user("How is the weather?"))
    assert in_plain_words(chat, [step("Let me look.", "Sunny.")], LONGEST)[2:] == (
        agent("Let me look."),
        user("What weather says: Sunny."),
    )


def test_what_a_client_ran_is_told_in_the_same_way() -> None:
    chat = (
        SYSTEM,
        user("What is on the table?"),
        agent("", Call("1", "look", "{}"), Call("2", "listen", "{}")),
        result("1", "a cup"),
        result("2", "nothing"),
        agent("A cup."),
        user("And under it?"),
    )
    assert in_plain_words(chat, (), LONGEST) == (
        SYSTEM,
        user("What is on the table?\n\nWhat look says: a cup\n\nWhat listen says: nothing"),
        agent("A cup."),
        user("And under it?"),
    )


def test_a_result_whose_call_was_left_out_is_told() -> None:
    assert in_plain_words((SYSTEM, result("1", "a cup")), (), LONGEST)[1:] == (
        user("What a tool says: a cup"),
    )


def test_a_long_result_leaves_room_for_the_reply() -> None:
    said = in_plain_words((SYSTEM, user("How?")), [step("", "x" * 200)], LONGEST)
    assert said[1].content == f"How?\n\nWhat weather says: {'x' * LONGEST} (cut off here)"


def test_the_tools_count_when_a_chat_is_too_long() -> None:
    turns = [m for i in range(10) for m in (user(f"Question {i}."), agent("Answer."))]
    plain = Prompt((SYSTEM, *turns, user("Last.")))
    offering = Prompt(plain.chat, (WEATHER, LIGHT))
    assert offering.estimate > plain.estimate
    shorter = offering.shortened(plain.estimate)
    assert shorter.tools == offering.tools and shorter.estimate <= plain.estimate
    assert shorter.chat[0] == SYSTEM and shorter.chat[-1] == user("Last.")
    assert plain.shortened(plain.estimate) is plain


def test_alone_is_the_users_last_words() -> None:
    prompt, *rest = alone((SYSTEM, user("Hello!"), agent("Hi!"), user("How are you?")))
    assert prompt.role == "system" and rest == [user("How are you?")]


# --- calls ---


@pytest.mark.parametrize(
    "pieces",
    [
        (ROME,),
        tuple(ROME),
        ("```json\n", ROME, "\n```"),
        ("``", f"`\n{ROME}\n", "```"),
        (f"[{ROME}]",),
    ],
)
def test_a_call_that_is_written_as_text_is_not_said(pieces: tuple[str, ...]) -> None:
    offered = Offered((WEATHER, LIGHT))
    assert heard(offered, *pieces) == "" and not offered.has_said
    assert asked(offered) == [("weather", '{"city": "Rome"}')]


def test_a_call_that_llama_cpp_reads_is_one() -> None:
    offered = Offered((WEATHER,))
    parts = (ToolCallDelta(0, "x", "weather", '{"city":'), ToolCallDelta(0, "", "", ' "Rome"}'))
    assert heard(offered, "Let me look.", *parts) == "Let me look."
    assert asked(offered) == [("weather", '{"city": "Rome"}')]


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "make_amiable", "arguments": {}}',
        '```json\n{"name": "make_amiable"}\n```',
        '{"answer": 4}',
        '[{"answer": 4}]',
        '{"name": "weather", "argum',
    ],
)
def test_json_that_is_no_call_is_neither_said_nor_called(text: str) -> None:
    offered = Offered((WEATHER,))
    assert heard(offered, *text) == "" and not offered.has_said
    assert asked(offered) == []


def test_an_unknown_tool_that_llama_cpp_reads_is_not_called() -> None:
    offered = Offered((WEATHER,))
    heard(offered, ToolCallDelta(0, "x", "make_amiable", "{}"))
    assert asked(offered) == []


@pytest.mark.parametrize("text", ["Hello there.", "`a` is a letter.", "``", "[laughs] Hello."])
def test_words_are_said(text: str) -> None:
    offered = Offered((WEATHER,))
    assert heard(offered, *text) == text and offered.has_said
    assert asked(offered) == []


def test_thoughts_are_not_said() -> None:
    offered = Offered((WEATHER,))
    assert heard(offered, "<think>Hm.</think>", ROME) == ""
    assert asked(offered) == [("weather", '{"city": "Rome"}')]


@pytest.mark.parametrize(
    ("words", "name", "arguments", "is_called"),
    [
        ("How is it in rome?", "weather", '{"city": "Rome"}', True),
        ("What is two plus two?", "weather", '{"city": "London"}', False),
        ("It is too dark in the hall.", "light", '{"room": "hall", "state": "on"}', True),
        ("Go forward.", "light", '{"room": "living room", "state": "on"}', False),
        ("Ten minutes.", "light", '{"minutes": 10}', True),
        ("Ten minutes.", "light", "[10]", False),
        ("Ten minutes.", "light", "{", False),
    ],
)
def test_what_a_small_model_makes_up_is_not_called(
    words: str, name: str, arguments: str, is_called: bool
) -> None:
    offered = Offered((WEATHER, LIGHT))
    heard(offered, ToolCallDelta(0, "x", name, arguments))
    assert bool(asked(offered, words)) is is_called
