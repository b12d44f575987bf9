"""What is said and asked for in one round of a reply, and when that is nothing."""

import pytest

from serve_app.agent.llm.chunks import Chunk, Part, Thought
from serve_app.agent.llm.round import Round
from serve_app.agent.llm.tool_calls import ToolCall, ToolCallDelta, ToolSpec, ToolStep
from serve_app.errors import EngineError

WEATHER = ToolSpec("weather", "Tells the weather.", {"type": "object"})
ASKED = ToolCallDelta(0, "a", "weather", "{}")
CALL = '{"name": "weather", "parameters": {"city": "Rome"}}'


def given(*parts: Part, tools: bool = True, before: str = "") -> list[str | ToolCallDelta]:
    steps = [ToolStep(before, (ToolCall("a", "weather", "{}"),), ("Sunny.",))] if before else []
    reply = Round([WEATHER] if tools else [], steps)
    said = [s for part in parts for s in reply.take(Chunk((part,)))]
    _ = list(reply.take(Chunk(finish_reason="stop")))
    return [*said, *reply.end()]


def test_a_model_that_asks_for_tools_it_was_not_offered_is_only_heard() -> None:
    assert given("Hm.", ASKED, tools=False) == ["Hm."]


@pytest.mark.parametrize(
    "text", [CALL, f"[{CALL}]", f"\n{CALL}\n", "<tool_call>" + CALL + "</tool_call>"]
)
def test_the_json_of_a_call_is_not_said(text: str) -> None:
    assert given(*text, ASKED) == [ASKED]


@pytest.mark.parametrize("text", [CALL, f"[{CALL}]", CALL.replace("parameters", "arguments")])
def test_a_call_that_is_only_text_is_a_call(text: str) -> None:
    assert given(*text) == [ToolCallDelta(None, "", "weather", '{"city": "Rome"}')]


@pytest.mark.parametrize("rest", ["", '\n{"name": "weather", "par', "\nLet me look."])
def test_what_follows_a_call_that_is_only_text_is_not_said(rest: str) -> None:
    """Seen with Qwen2.5-Coder-0.5B behind llama.cpp's server."""
    call = ToolCallDelta(None, "", "weather", '{"city": "Rome"}')
    assert given(*f"{CALL}\n{CALL}{rest}") == [call, call]


@pytest.mark.parametrize(
    "text", ["Let me look.", "{laughs} Yes.", "[1] says so.", '{"name": "other"}', '{"a": ', "{}"]
)
def test_other_text_beside_a_call_is_said(text: str) -> None:
    said = given(*text, ASKED)
    assert "".join(part for part in said if isinstance(part, str)) == text
    assert ASKED in said


def test_text_that_is_no_call_passes_at_once() -> None:
    reply = Round([WEATHER])
    assert [s for text in ("Let", " me") for s in reply.take(Chunk((text,)))] == ["Let", " me"]


def test_an_empty_answer_after_tools_is_one_if_something_was_said_before() -> None:
    assert given("", before="I switch it on.") == []
    with pytest.raises(EngineError, match="answered with nothing"):
        given("", before=" ")


def test_thoughts_are_handed_on_with_the_first_call_and_no_further() -> None:
    thought = Thought({"reasoning_content": "Hm."})
    first, second = given(thought, thought, ASKED, ASKED)
    assert isinstance(first, ToolCallDelta) and isinstance(second, ToolCallDelta)
    assert (first.thoughts, second.thoughts) == ({"reasoning_content": "Hm.Hm."}, {})
