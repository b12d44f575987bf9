"""What chunks of chat completions add to a reply."""

from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall

from serve_app.agent.llm.chat_completions import new_parts
from serve_app.agent.llm.tool_calls import ToolCallDelta

ASKS = ChoiceDelta(content="Hm.", tool_calls=[ChoiceDeltaToolCall(index=0, id="a")])


def test_a_request_for_a_tool_comes_after_the_text() -> None:
    assert list(new_parts(ASKS, has_tools=True)) == ["Hm.", ToolCallDelta(0, "a", "", "")]


def test_a_model_that_asks_for_tools_it_was_not_offered_is_only_heard() -> None:
    assert list(new_parts(ASKS, has_tools=False)) == ["Hm."]
