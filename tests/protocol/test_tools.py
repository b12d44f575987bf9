"""What clients say of the tools that they run: in both protocols, and within bounds."""

import json
from typing import Any

import msgpack
import pytest

from serve_app.protocol.codec import decode, encode
from serve_app.protocol.echo_wire import EchoWire
from serve_app.protocol.messages import Open, RequestReply, ToolCall, ToolResult
from serve_app.protocol.tools import Tool, shown, tools_in, tools_of
from serve_app.protocol.violation import ProtocolViolation

MOST = 32 << 10
LOOK = {
    "name": "look",
    "description": "Looks at it.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
}


def opened(tools: Any) -> Open:
    text = tools if isinstance(tools, str) else json.dumps(tools)
    message = decode(msgpack.packb({"type": "open", "prompt": "", "tools": text}))
    assert isinstance(message, Open)
    return message


def test_a_tool_is_taken_and_shown_as_it_was_written() -> None:
    (tool,) = opened([LOOK]).tools
    assert (tool.name, tool.description) == ("look", "Looks at it.")
    assert json.loads(tool.parameters) == LOOK["parameters"]
    assert shown([tool]) == [{"type": "function", **LOOK}]


def test_what_is_left_out_is_a_tool_without_arguments() -> None:
    assert tools_of([{"name": "a"}], MOST) == (
        Tool("a", "", '{"type": "object", "properties": {}}'),
    )
    assert opened("").tools == () == opened([]).tools


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [1],
        [{}],
        [{"name": "a b"}],
        [{"name": "a" * 65}],
        [{"name": 1}],
        [{"name": "a"}, {"name": "a"}],
        [{"type": "mcp", "name": "a"}],
        [{"name": "a", "description": 1}],
        [{"name": "a", "description": "\ud800"}],
        [{"name": "a", "parameters": [1]}],
        [{"name": "a", "parameters": {"type": "string"}}],
        [{"name": "a", "parameters": {"type": "object", "a": "x" * MOST}}],
        [{"name": f"a{number}"} for number in range(65)],
    ],
)
def test_what_is_no_tool_is_refused(wrong: Any) -> None:
    with pytest.raises(
        ValueError, match=r"has to be|only function|not Unicode|same name|more than"
    ):
        tools_of(wrong, MOST)
    with pytest.raises(ProtocolViolation, match="open: 'tools'"):
        opened(wrong)


@pytest.mark.parametrize("text", ["{", "[" * 20_000, "nonsense", '[{"name": "a", "x": NaN}'])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not valid JSON"):
        tools_in(text, MOST)


def test_a_call_is_a_message_and_its_result_asks_for_a_reply() -> None:
    frame = encode(ToolCall(3, "a", "look", "{}"))
    assert msgpack.unpackb(frame) == {
        "type": "tool_call", "turn": 3, "call_id": "a", "name": "look", "arguments": "{}",
    }  # fmt: skip
    result = msgpack.packb({"type": "tool_result", "call_id": "a", "output": "a cup"})
    assert EchoWire().read(result).messages == (ToolResult("a", "a cup"), RequestReply())


@pytest.mark.parametrize(
    "wrong", [{"call_id": 1}, {"output": 1}, {"call_id": "x" * 129}, {"output": "x" * 40_000}]
)
def test_a_result_has_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolation, match="tool_result"):
        decode(msgpack.packb({"type": "tool_result", "call_id": "a", "output": "", **wrong}))
