"""Turns that the client ends (`turn_detection: null`), and responses that it asks for
(`create_response: false`)."""

import base64
import json
from typing import Any

import pytest

from serve_app.protocol.messages import (
    ClearTurn,
    CommitTurn,
    Interrupt,
    RequestInterrupt,
    RequestReply,
    StateChanged,
    Text,
    Token,
    ToolCall,
    ToolResult,
    Transcript,
)
from tests.protocol.realtime.said import Spoken, opened, typed, types, update
from tests.protocol.realtime.test_replies import ENDED, one, reply

SPEECH = base64.b64encode(bytes(48_000)).decode()
"""1 s."""
COMMITTED = ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
COMPLETED = "conversation.item.input_audio_transcription.completed"


@pytest.fixture
def pushed() -> Spoken:
    return begun(None)


@pytest.fixture
def asked() -> Spoken:
    return begun({"type": "server_vad", "create_response": False})


def begun(detection: Any) -> Spoken:
    spoken = Spoken()
    shown = update(spoken, audio={"input": {"turn_detection": detection}})
    written = shown["audio"]["input"]["turn_detection"]
    assert written is None or written["create_response"] is False
    open_, _ = spoken.send("input_audio_buffer.append", audio=SPEECH)
    spoken.hear(StateChanged("waiting"))
    wanted = {"answers_turns": False} | ({} if detection else {"detects_turns": False})
    assert open_.turn == wanted  # type: ignore[union-attr]
    return spoken


def commit(spoken: Spoken) -> list[dict[str, Any]]:
    messages, answers = spoken.exchange('{"type": "input_audio_buffer.commit"}')
    assert messages == [CommitTurn()]
    return answers


def heard(spoken: Spoken, text: str = "What is this?") -> list[dict[str, Any]]:
    """The machine has transcribed what was committed."""
    said = [Transcript(1, "user", text)] if text else []
    return spoken.hear(StateChanged("transcribing"), *said, StateChanged("waiting"))


# --- push-to-talk ---


def test_a_commit_is_an_item_at_once_and_its_words_follow(pushed: Spoken) -> None:
    committed = commit(pushed)
    assert types(committed) == COMMITTED
    (completed,) = heard(pushed)
    assert completed["type"] == COMPLETED and completed["transcript"] == "What is this?"
    assert completed["item_id"] == committed[0]["item_id"]
    assert completed["usage"]["seconds"] == pytest.approx(1.0, abs=0.01)
    retrieve = {"type": "conversation.item.retrieve", "item_id": completed["item_id"]}
    (shown,) = pushed.exchange(json.dumps(retrieve))[1]
    assert shown["item"]["content"][0]["transcript"] == "What is this?"
    assert pushed.send("response.create") == [RequestReply()]
    assert pushed.refusal("response.create")["code"] == "nothing_to_answer"


def test_a_response_may_be_asked_for_at_once(pushed: Spoken) -> None:
    commit(pushed)
    assert pushed.send("response.create") == [RequestReply()]
    events = pushed.hear(
        StateChanged("transcribing"),
        Transcript(1, "user", "What is this?"),
        Token("token001"),
        StateChanged("replying"),
    )
    assert types(events) == [COMPLETED, "response.created"]
    assert pushed.refusal("response.create")["code"] == "nothing_to_answer"


def test_mere_noise_has_no_words_and_no_response(pushed: Spoken) -> None:
    commit(pushed)
    pushed.send("response.create")
    completed, error = heard(pushed, "")
    assert completed["type"] == COMPLETED and completed["transcript"] == ""
    assert error["error"]["code"] == "nothing_to_answer"
    assert pushed.refusal("response.create")["code"] == "nothing_to_answer"


def test_what_is_too_short_is_no_turn(pushed: Spoken) -> None:
    commit(pushed)
    heard(pushed)
    code = pushed.refusal("input_audio_buffer.commit")["code"]
    assert code == "input_audio_buffer_commit_empty"


def test_a_second_commit_waits_for_the_words_of_the_first(pushed: Spoken) -> None:
    commit(pushed)
    pushed.send("input_audio_buffer.append", audio=SPEECH)
    code = pushed.refusal("input_audio_buffer.commit")["code"]
    assert code == "input_audio_buffer_commit_pending"
    heard(pushed)
    commit(pushed)


def test_a_state_that_was_on_its_way_is_not_the_end_of_the_transcription(pushed: Spoken) -> None:
    pushed.hear(*reply())
    commit(pushed)
    assert COMPLETED not in types(pushed.hear(StateChanged("waiting")))
    assert types(heard(pushed)) == [COMPLETED]


def test_what_is_cleared_cannot_be_committed(pushed: Spoken) -> None:
    messages, (cleared,) = pushed.exchange('{"type": "input_audio_buffer.clear"}')
    assert messages == [ClearTurn()] and cleared["type"] == "input_audio_buffer.cleared"
    assert pushed.refusal("input_audio_buffer.commit")["code"].endswith("commit_empty")


def test_a_clear_before_all_begins_nothing() -> None:
    spoken = Spoken()
    update(spoken, audio={"input": {"turn_detection": None}})
    messages, (cleared,) = spoken.exchange('{"type": "input_audio_buffer.clear"}')
    assert not messages and cleared["type"] == "input_audio_buffer.cleared"


def test_a_commit_interrupts_a_response_without_a_word_of_speech(pushed: Spoken) -> None:
    pushed.hear(*reply())
    commit(pushed)
    events = pushed.hear(Interrupt("token002"), StateChanged("transcribing"))
    assert types(events)[: len(ENDED)] == ENDED
    done = one(events, "response.done")["response"]
    assert done["status_details"]["reason"] == "client_cancelled"
    assert not [type_ for type_ in types(events) if "speech" in type_]


@pytest.mark.parametrize("type_", ["input_audio_buffer.commit", "input_audio_buffer.clear"])
def test_with_turn_detection_the_server_ends_turns(type_: str) -> None:
    spoken = Spoken()
    opened(spoken)
    error = spoken.refusal(type_)
    assert error["code"] == "unsupported_event" and "turn_detection" in error["message"]


def test_turn_detection_can_come_back_before_the_beginning() -> None:
    spoken = Spoken()
    update(spoken, audio={"input": {"turn_detection": None}})
    shown = update(spoken, audio={"input": {"turn_detection": {"type": "server_vad"}}})
    assert shown["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert opened(spoken).turn == {}
    error = spoken.refusal("session.update", session={"audio": {"input": {"turn_detection": None}}})
    assert error["code"] == "session_has_begun"


def test_another_update_leaves_push_to_talk_as_it_is() -> None:
    spoken = Spoken()
    update(spoken, audio={"input": {"turn_detection": None}})
    shown = update(spoken, instructions="Be brief.", audio={"input": {"format": None}})
    assert shown["audio"]["input"]["turn_detection"] is None


# --- create_response: false ---


def test_a_turn_waits_for_its_response(asked: Spoken) -> None:
    assert asked.refusal("response.create")["code"] == "nothing_to_answer"
    events = asked.hear(
        StateChanged("listening"),
        StateChanged("transcribing"),
        Transcript(1, "user", "What is this?"),
        StateChanged("waiting"),
    )
    assert types(events)[-1] == COMPLETED
    assert asked.send("response.create") == [RequestReply()]
    assert asked.refusal("response.create")["code"] == "nothing_to_answer"


def test_a_response_may_be_asked_for_while_the_user_speaks(asked: Spoken) -> None:
    asked.hear(StateChanged("listening"))
    assert asked.send("response.create") == [RequestReply()]
    events = asked.hear(StateChanged("transcribing"), StateChanged("waiting"))
    assert events[-1]["error"]["code"] == "nothing_to_answer", "it was noise"


def test_what_is_typed_answers_the_turns_before_it_too(asked: Spoken) -> None:
    asked.hear(StateChanged("listening"), StateChanged("transcribing"))
    asked.hear(Transcript(1, "user", "What is this?"), StateChanged("waiting"))
    asked.send("conversation.item.create", item=typed("Tell me."))
    assert asked.send("response.create") == [Text("Tell me.")]
    assert asked.refusal("response.create")["code"] == "nothing_to_answer"


def test_the_output_of_a_tool_answers_the_turns_before_it_too(asked: Spoken) -> None:
    asked.hear(
        StateChanged("replying"), ToolCall(1, "call1", "look", "{}"), StateChanged("waiting")
    )
    asked.hear(StateChanged("listening"), StateChanged("transcribing"))
    asked.hear(Transcript(1, "user", "What is this?"), StateChanged("waiting"))
    output = {"type": "function_call_output", "call_id": "call1", "output": "a cup"}
    assert asked.send("conversation.item.create", item=output) == [ToolResult("call1", "a cup")]
    assert asked.send("response.create") == [RequestReply()]
    assert asked.refusal("response.create")["code"] == "nothing_to_answer"


def test_a_response_can_be_cancelled_as_ever(asked: Spoken) -> None:
    asked.hear(*reply())
    assert asked.send("response.cancel") == [RequestInterrupt()]
