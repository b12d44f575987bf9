"""Items that clients create, truncate and ask for."""

import json
from typing import Any

import pytest

from serve_app.protocol.messages import AgentAudio, Caption, Open, Played, Text, Token
from tests.protocol.realtime.said import Spoken, opened, typed


def test_items_are_said_with_the_next_response() -> None:
    spoken = Spoken()
    for text in ("One.", "Two."):
        _, answers = spoken.exchange(
            json.dumps({"type": "conversation.item.create", "item": typed(text)})
        )
        assert [answer["type"] for answer in answers] == [
            "conversation.item.added",
            "conversation.item.done",
        ]
    assert answers[0]["previous_item_id"] == "item_1" and answers[0]["item"]["id"] == "item_2"
    open_, text_ = spoken.send("response.create", response={"metadata": {"a": "b"}})
    assert isinstance(open_, Open) and open_.greeting == ""
    assert text_ == Text("One.\nTwo.")


def test_an_item_may_have_an_id_of_the_clients() -> None:
    spoken = Spoken()
    _, answers = spoken.exchange(
        json.dumps({"type": "conversation.item.create", "item": typed("One.", id="mine")})
    )
    assert answers[0]["item"]["id"] == "mine"


def test_no_two_items_have_the_same_id() -> None:
    """A client's would take the place of the agent's words, or get the id of what comes later."""
    spoken = Spoken()
    spoken.hear(Token("token001"), Caption(1, "Hello."), AgentAudio("token001", bytes(960)))
    spoken.send("conversation.item.create", item=typed("One.", id="mine"))
    for id_ in ("mine", "item_1", "item_2"):
        error = spoken.refusal("conversation.item.create", item=typed("Two.", id=id_))
        assert (error["code"], error["param"]) == ("invalid_value", "item.id")
    spoken.send("conversation.item.create", item=typed("Two.", id="item_a1"))


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        (None, "invalid_type", "item"),
        (typed("Hi.", role="system"), "unsupported_item", "item.role"),
        (typed("Hi.", type="function_call"), "unsupported_item", "item.type"),
        (typed(" "), "invalid_value", "item.content"),
        (typed("x" * 40_000), "invalid_value", "item.content[0].text"),
        (typed("Hi.", content=[]), "invalid_type", "item.content"),
        (typed("Hi.", id="x" * 513), "invalid_value", "item.id"),
        (
            typed("Hi.", content=[{"type": "input_audio", "audio": ""}]),
            "unsupported_item",
            "item.content[0].type",
        ),
    ],
)
def test_other_items_are_refused(item: Any, code: str, param: str) -> None:
    error = Spoken().refusal("conversation.item.create", item=item)
    assert (error["code"], error["param"]) == (code, param)


def test_texts_that_wait_are_bounded() -> None:
    spoken = Spoken()
    for _ in range(4):
        spoken.send("conversation.item.create", item=typed("x" * 8000))
    error = spoken.refusal("conversation.item.create", item=typed("x" * 8000))
    assert error["code"] == "too_many_items"
    spoken.send("response.create")
    spoken.send("conversation.item.create", item=typed("x" * 8000))


def test_items_that_wait_are_bounded_however_short() -> None:
    spoken = Spoken()
    for _ in range(64):
        spoken.send("conversation.item.create", item=typed("x"))
    error = spoken.refusal("conversation.item.create", item=typed("x"))
    assert (error["code"], error["param"]) == ("too_many_items", "item")
    _, said = spoken.send("response.create")
    assert said == Text("\n".join("x" * 64))


def test_parts_of_an_item_are_bounded() -> None:
    part = {"type": "input_text", "text": "x"}
    Spoken().send("conversation.item.create", item=typed("", content=[part] * 64))
    error = Spoken().refusal("conversation.item.create", item=typed("", content=[part] * 65))
    assert (error["code"], error["param"]) == ("invalid_type", "item.content")


def test_a_truncation_says_how_much_was_played() -> None:
    spoken = Spoken()
    opened(spoken)
    begun = spoken.hear(Token("token001"), Caption(1, "Hello."), AgentAudio("token001", bytes(960)))
    item = begun[-1]["item_id"]
    fields = {"item_id": item, "content_index": 0, "audio_end_ms": 15}
    assert spoken.send("conversation.item.truncate", **fields) == [Played("token001", 15.0)]
    fields["item_id"] = "another"
    assert spoken.refusal("conversation.item.truncate", **fields)["param"] == "item_id"


def test_only_the_last_items_can_be_retrieved() -> None:
    spoken = Spoken()
    for number in range(20):
        spoken.send("conversation.item.create", item=typed("Hi.", id=f"mine_{number}"))
    frame = json.dumps({"type": "conversation.item.retrieve", "item_id": "mine_19"})
    _, (answer,) = spoken.exchange(frame)
    assert answer["item"]["content"] == [{"type": "input_text", "text": "Hi."}]
    error = spoken.refusal("conversation.item.retrieve", item_id="mine_3")
    assert (error["code"], error["param"]) == ("item_not_found", "item_id")
