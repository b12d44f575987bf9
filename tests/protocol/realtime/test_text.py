"""`output_modalities: ["text"]`: answers that are written."""

from typing import Any

import pytest

from serve_app.protocol.messages import (
    Caption,
    Interrupt,
    StateChanged,
    Token,
    ToolCall,
    Transcript,
)
from tests.protocol.realtime.said import Spoken, opened, types, update
from tests.protocol.realtime.test_replies import BEGUN, one

ENDED = [
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
]


@pytest.fixture
def spoken() -> Spoken:
    spoken = Spoken()
    assert update(spoken, output_modalities=["text"])["output_modalities"] == ["text"]
    assert opened(spoken).text_only
    return spoken


def begun(spoken: Spoken) -> list[dict[str, Any]]:
    return spoken.hear(
        Token("token001"), StateChanged("replying"), Caption(1, "A c"), Caption(1, "up.")
    )


def test_a_response_is_text_and_no_audio(spoken: Spoken) -> None:
    events = begun(spoken)
    assert types(events) == [*BEGUN, *["response.output_text.delta"] * 2]
    assert one(events, "response.content_part.added")["part"] == {"type": "text", "text": ""}
    assert "".join(e.get("delta", "") for e in events) == "A cup."
    ended = spoken.hear(Transcript(1, "agent", "A cup."), StateChanged("waiting"))
    assert types(ended) == ENDED
    assert ended[0]["text"] == "A cup."
    response = ended[-1]["response"]
    assert response["output_modalities"] == ["text"] and response["status"] == "completed"
    assert response["output"][0]["content"] == [{"type": "output_text", "text": "A cup."}]


def test_an_interrupted_one_is_not_truncated(spoken: Spoken) -> None:
    begun(spoken)
    events = spoken.hear(
        Interrupt("token002"), Transcript(1, "agent", "A cup."), StateChanged("listening")
    )
    assert "conversation.item.truncated" not in types(events)
    done = one(events, "response.done")["response"]
    assert done["status_details"]["reason"] == "turn_detected"
    item = done["output"][0]["id"]
    error = spoken.refusal(
        "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=1
    )
    assert error["param"] == "item_id"
    (shown,) = spoken.exchange(f'{{"type": "conversation.item.retrieve", "item_id": "{item}"}}')[1]
    assert shown["item"]["content"] == [{"type": "output_text", "text": "A cup."}]


def test_a_call_may_follow_the_text(spoken: Spoken) -> None:
    begun(spoken)
    spoken.hear(ToolCall(1, "call1", "look", "{}"))
    message, call = spoken.hear(StateChanged("waiting"))[-1]["response"]["output"]
    assert (message["type"], call["type"]) == ("message", "function_call")


@pytest.mark.parametrize("wrong", [["audio", "text"], [], ["video"], "text", 1])
def test_other_modalities_are_refused(wrong: Any) -> None:
    error = Spoken().refusal("session.update", session={"output_modalities": wrong})
    assert (error["code"], error["param"]) == ("unsupported_value", "session.output_modalities")


def test_a_response_has_the_modality_of_the_session(spoken: Spoken) -> None:
    error = spoken.refusal("response.create", response={"output_modalities": ["audio"]})
    assert error["param"] == "response.output_modalities"
    first = Spoken()
    assert first.send("response.create", response={"output_modalities": ["audio"]})
    assert first.refusal("response.create", response={"output_modalities": ["text"]})
