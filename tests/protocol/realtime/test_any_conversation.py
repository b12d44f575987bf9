"""Whatever a client and a conversation say in whatever order, the client's events fit together: ids
are unique, items follow each other, and responses end one after the other."""

import json
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from serve_app.protocol.messages import (
    AgentAudio,
    Caption,
    ErrorNotice,
    Interrupt,
    StateChanged,
    Token,
    Transcript,
)
from serve_app.protocol.realtime.wire import RealtimeWire
from serve_app.protocol.wire import AudioFrame
from tests.protocol.realtime.said import LOCAL, event
from tests.protocol.realtime.test_any_json import EVENTS, SESSIONS

TOKENS = st.sampled_from(["token001", "token002"])
WORDS = st.sampled_from(["", "Hello.", " Two words"])
SERVER = st.one_of(
    st.builds(Token, TOKENS),
    st.builds(Caption, st.just(1), WORDS),
    st.builds(AgentAudio, TOKENS, st.integers(0, 400).map(lambda samples: bytes(2 * samples))),
    st.builds(Interrupt, TOKENS),
    st.builds(StateChanged, st.sampled_from(["listening", "replying", "waiting"])),
    st.builds(Transcript, st.just(1), st.sampled_from(["user", "agent"]), WORDS),
    st.builds(ErrorNotice, st.just(1), st.sampled_from(["open", "llm", "stt", "audio"]), WORDS),
)
CLIENT = st.one_of(
    st.builds(
        lambda text, fields: {
            "type": "conversation.item.create",
            "item": {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": text}],
                **fields,
            },
        },
        WORDS,
        st.sampled_from([{}, {"id": "mine"}, {"id": "item_1"}]),
    ),
    st.sampled_from(
        [
            {"type": "input_audio_buffer.append", "audio": "AAAA" * 160},
            {"type": "response.create"},
            {"type": "response.cancel"},
            {"type": "conversation.item.retrieve", "item_id": "item_1"},
            {"type": "conversation.item.truncate", "item_id": "item_1", "audio_end_ms": 5},
        ]
    ),
    EVENTS,
    SESSIONS,
)


def heard(said: list[Any]) -> list[dict[str, Any]]:
    """All that the client gets."""
    wire = RealtimeWire("abc", LOCAL)
    frames = list(wire.greeting())
    for one in said:
        if isinstance(one, dict):
            frames += wire.read(json.dumps(one)).answers
            continue
        written = wire.write(one)
        of_audio = [isinstance(frame, AudioFrame) for frame in written]
        assert sum(of_audio) == isinstance(one, AgentAudio), "as Wire.write says"
        frames += [frame.frame if isinstance(frame, AudioFrame) else frame for frame in written]
    return [event(frame) for frame in frames]


@settings(max_examples=150, deadline=None)
@given(st.lists(SERVER | CLIENT, max_size=25))
def test_events_fit_together(said: list[Any]) -> None:
    events = heard(said)
    assert len({found["event_id"] for found in events}) == len(events)
    added = [found for found in events if found["type"] == "conversation.item.added"]
    ids = [found["item"]["id"] for found in added]
    assert len(set(ids)) == len(ids)
    assert [found["previous_item_id"] for found in added] == [None, *ids][: len(ids)]
    responses = [
        (found["type"], found["response"]["id"])
        for found in events
        if found["type"] in ("response.created", "response.done")
    ]
    assert (
        responses
        == [
            (type_, f"resp_{number // 2 + 1}")
            for number, type_ in enumerate(["response.created", "response.done"] * len(responses))
        ][: len(responses)]
    )
