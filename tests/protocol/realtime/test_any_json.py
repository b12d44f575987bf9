"""Whatever a client sends is taken or answered by an error: nothing else comes out."""

import json
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from serve_app.protocol.messages import AgentAudio, Caption, Open
from serve_app.protocol.realtime.support import CLIENT_EVENTS, RESPONSE_FIELDS, SESSION_FIELDS
from tests.protocol.realtime.said import Spoken
from tests.protocol.test_plain_types import is_plain, values_in

NAMES = st.sampled_from(
    sorted({name for path in (*SESSION_FIELDS, *RESPONSE_FIELDS) for name in path.split(".")})
)
WORDS = st.sampled_from(
    [
        *("realtime", "server_vad", "semantic_vad", "audio/pcm", "audio/pcmu", "message", "user"),
        *("input_text", "auto", "none", "low", "high", "item_1", "resp_1", "AAAA", "\ud800"),
    ]
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400)])
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=5), WORDS)
ANY = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["session", "response", "item", "item_id", "audio", "audio_end_ms", "event_id"]
EVENTS = st.builds(
    lambda type_, fields: {"type": type_, **fields},
    st.sampled_from(list(CLIENT_EVENTS)),
    st.dictionaries(
        st.sampled_from([*FIELDS, "response_id", "content_index", "previous_item_id"]), ANY
    ),
)


def nested(path: str, value: Any) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {name: value}
    return dict(value)


SESSIONS = st.builds(
    lambda path, value: {"type": "session.update", "session": nested(path, value)},
    st.sampled_from(list(SESSION_FIELDS)),
    ANY,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(EVENTS, SESSIONS, ANY), max_size=8))
def test_any_json_is_taken_or_answered(said: list[Any]) -> None:
    spoken = Spoken()
    spoken.hear(Caption(1, "Hello."), AgentAudio("token001", bytes(480)))
    opened = 0
    for event in said:
        messages, answers = spoken.exchange(json.dumps(event))
        assert not (messages and any(answer["type"] == "error" for answer in answers))
        plain = [value for message in messages for value in values_in(message)]
        assert all(map(is_plain, plain))
        opened += sum(isinstance(message, Open) for message in messages)
    assert opened <= 1


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.binary()))
def test_so_is_any_frame(frame: str | bytes) -> None:
    Spoken().exchange(frame)
