"""What chunks of chat completions add to a reply."""

import json
import pickle

import pytest

from serve_app.agent.llm.chunks import Chunk, Thought, read_chunk
from serve_app.agent.llm.tool_calls import ToolCallDelta
from serve_app.errors import EngineError

CALL = {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}, "extra": {"s": 1}}


def read(delta: object, **choice: object) -> Chunk:
    return read_chunk(json.dumps({"choices": [{"index": 0, "delta": delta, **choice}]}))


@pytest.mark.parametrize(
    ("delta", "parts"),
    [
        ({"content": "Hi."}, ("Hi.",)),
        ({"content": "Hi.", "role": "assistant"}, ("Hi.",)),
        ({"content": None, "refusal": "No."}, ("No.",)),
        ({"content": [{"type": "text", "text": "Hi."}, "x", None]}, ("Hi.",)),
        ({"content": 7, "tool_calls": "x"}, ()),
        ({"reasoning": "Hm.", "content": "Hi."}, (Thought({"reasoning": "Hm."}), "Hi.")),
        (
            {"content": "Hi.", "tool_calls": [CALL, None]},
            ("Hi.", ToolCallDelta(0, "a", "f", '{"x": 1}', {"extra": {"s": 1}})),
        ),
        ({"tool_calls": [{"function": None}]}, (ToolCallDelta(None, "", "", ""),)),
        ({"content": "a\ud83d\x00b"}, ("ab",)),
        (None, ()),
        ([1], ()),
    ],
)
def test_what_a_delta_says(delta: object, parts: tuple[object, ...]) -> None:
    assert read(delta).parts == parts


@pytest.mark.parametrize(
    "data", ["[1]", "1", "null", "{}", '{"choices": [null]}', '{"choices": 1}']
)
def test_what_is_no_chunk_says_nothing(data: str) -> None:
    assert read_chunk(data) == Chunk()


@pytest.mark.parametrize("reason", [None, "", "null", "None", 0, []])
def test_what_is_no_reason_to_end(reason: object) -> None:
    assert read({}, finish_reason=reason).finish_reason == ""


def test_an_error_in_the_stream_is_raised_without_its_message() -> None:
    for error, shown in (({"code": 500, "message": "My secret"}, " 500"), ("My secret", "")):
        with pytest.raises(EngineError) as caught:
            read_chunk(json.dumps({"error": error}))
        assert caught.value.message == f"the provider failed{shown}"
        assert "secret" not in repr(pickle.loads(pickle.dumps(caught.value)))
