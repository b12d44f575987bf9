"""Tools that the client runs, as OpenAI's protocol has them: definitions, calls and outputs."""

from typing import Any

import pytest

from serve_app.protocol.messages import (
    AgentAudio,
    Caption,
    Interrupt,
    Open,
    RequestReply,
    StateChanged,
    Text,
    Token,
    ToolCall,
    ToolResult,
)
from serve_app.protocol.realtime.options import Defaults
from tests.protocol.realtime.said import SILENCE, Spoken, opened, typed, types, update
from tests.protocol.realtime.test_replies import BEGUN, ENDED, SOUND, one, reply

LOOK: dict[str, Any] = {
    "type": "function",
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object", "properties": {}},
}
CALL = ToolCall(1, "call1", "look", '{"at": "it"}')
CALLED = [
    "response.output_item.added",
    "conversation.item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
    "conversation.item.done",
]


def output(call_id: str = "call1", output: Any = "a cup", **item: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output, **item}


def called(*calls: ToolCall) -> Spoken:
    """A conversation in which nothing but this was said."""
    spoken = Spoken()
    update(spoken, tools=[LOOK])
    opened(spoken)
    spoken.hear(Token("token001"), StateChanged("replying"), *(calls or (CALL,)))
    spoken.hear(StateChanged("waiting"))
    return spoken


def test_tools_are_part_of_the_session_and_of_open() -> None:
    spoken = Spoken()
    assert update(spoken, tools=[LOOK])["tools"] == [LOOK]
    assert [tool.name for tool in opened(spoken).tools] == ["look"]


def test_without_a_choice_the_model_is_not_told_of_them() -> None:
    spoken = Spoken()
    shown = update(spoken, tools=[LOOK], tool_choice="none")
    assert (shown["tools"], shown["tool_choice"]) == ([LOOK], "none")
    assert opened(spoken).tools == ()


def test_a_local_chat_model_uses_none() -> None:
    spoken = Spoken(Defaults(has_tools=False))
    error = spoken.refusal("session.update", session={"tools": [LOOK]})
    assert error["param"] == "session.tools" and "local chat model" in error["message"]
    update(spoken, tools=[])


def test_tools_stay_once_the_conversation_has_begun() -> None:
    spoken = Spoken()
    opened(spoken)
    error = spoken.refusal("session.update", session={"tools": [LOOK]})
    assert error["code"] == "session_has_begun"


def test_a_call_is_an_item_of_a_response() -> None:
    spoken = Spoken()
    events = spoken.hear(Token("token001"), StateChanged("replying"), CALL, StateChanged("waiting"))
    assert types(events) == ["response.created", *CALLED, "response.done"]
    done = one(events, "response.function_call_arguments.done")
    assert (done["call_id"], done["name"], done["output_index"]) == ("call1", "look", 0)
    assert done["arguments"] == '{"at": "it"}'
    response = events[-1]["response"]
    assert response["status"] == "completed"
    (item,) = response["output"]
    assert (item["type"], item["status"]) == ("function_call", "completed")
    assert item["call_id"] == "call1"


def test_a_call_comes_before_what_is_said_was_played() -> None:
    spoken = Spoken()
    events = spoken.hear(*reply("Let me look."), CALL)
    assert types(events)[-len(CALLED) :] == CALLED
    assert one(events, "response.function_call_arguments.done")["output_index"] == 1
    ended = spoken.hear(StateChanged("waiting"))
    assert types(ended) == ENDED
    message, call = ended[-1]["response"]["output"]
    assert (message["type"], call["type"]) == ("message", "function_call")
    assert ended[0]["output_index"] == 0


def test_what_is_said_may_follow_the_call() -> None:
    spoken = Spoken()
    spoken.hear(Token("token001"), StateChanged("replying"), CALL)
    events = spoken.hear(Caption(1, "Let me look."), AgentAudio("token001", SOUND))
    assert types(events)[:3] == BEGUN[1:] and events[0]["output_index"] == 1
    call, message = spoken.hear(StateChanged("waiting"))[-1]["response"]["output"]
    assert (call["type"], message["type"]) == ("function_call", "message")


def test_an_interrupted_response_still_has_its_call() -> None:
    spoken = Spoken()
    spoken.hear(*reply("Let me look."), CALL)
    done = one(spoken.hear(Interrupt("token002")), "response.done")["response"]
    assert done["status"] == "cancelled"
    assert [item["status"] for item in done["output"]] == ["incomplete", "completed"]


def test_an_output_is_told_at_once_and_gone_on_with_after_response_create() -> None:
    spoken = called()
    messages, (added, done) = spoken.exchange(
        '{"type": "conversation.item.create", "item": {"type": "function_call_output",'
        ' "id": "mine", "call_id": "call1", "output": "a cup"}}'
    )
    assert messages == [ToolResult("call1", "a cup")]
    assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
    assert done["item"]["id"] == "mine" and done["item"]["output"] == "a cup"
    assert spoken.send("response.create") == [RequestReply()]
    assert spoken.refusal("response.create")["code"] == "nothing_to_answer"


def test_two_calls_have_two_outputs() -> None:
    spoken = called(CALL, ToolCall(1, "call2", "look", "{}"))
    assert spoken.send("conversation.item.create", item=output("call2")) == [
        ToolResult("call2", "a cup")
    ]
    assert spoken.send("conversation.item.create", item=output()) == [ToolResult("call1", "a cup")]
    assert spoken.send("response.create") == [RequestReply()]


def test_what_was_typed_after_an_output_is_the_turn() -> None:
    spoken = called()
    spoken.send("conversation.item.create", item=output())
    spoken.send("conversation.item.create", item=typed("And now?"))
    assert spoken.send("response.create") == [Text("And now?")]
    assert spoken.refusal("response.create")["code"] == "nothing_to_answer"


@pytest.mark.parametrize(
    ("item", "param"),
    [
        (output("call9"), "item.call_id"),
        (output(call_id=1), "item.call_id"),  # type: ignore[arg-type]
        (output(output=1), "item.output"),
        (output(output="x" * 40_000), "item.output"),
        (output(output="\ud800"), "item.output"),
        (output(id=1), "item.id"),
    ],
)
def test_what_is_no_output_is_refused(item: dict[str, Any], param: str) -> None:
    spoken = called()
    assert spoken.refusal("conversation.item.create", item=item)["param"] == param
    assert spoken.send("conversation.item.create", item=output()), "it is still waited for"


def test_an_output_is_taken_once() -> None:
    spoken = called()
    spoken.send("conversation.item.create", item=output())
    error = spoken.refusal("conversation.item.create", item=output())
    assert error["code"] == "invalid_tool_call_id"


def test_a_response_of_its_own_follows_one_that_is_still_played() -> None:
    spoken = Spoken()
    spoken.hear(*reply("Let me look."), CALL)
    spoken.send("input_audio_buffer.append", audio=SILENCE)
    spoken.send("conversation.item.create", item=output())
    spoken.send("response.create")
    events = spoken.hear(
        StateChanged("waiting"), Token("token002"), StateChanged("replying"), Caption(1, "A cup.")
    )
    assert types(events)[: len(ENDED) + 1] == [*ENDED, "response.created"]
    assert "response.created" not in types(events)[len(ENDED) + 1 :]


def test_open_is_what_it_was() -> None:
    assert opened(Spoken()) == Open(
        prompt="", events=opened(Spoken()).events, greeting="", sample_rate_hz=24_000
    )
