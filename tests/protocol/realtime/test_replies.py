"""What clients are sent: the order of events, and that each is what the `openai` package takes,
whatever the conversation says."""

import base64
import json
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.messages import (
    AgentAudio,
    Caption,
    Duck,
    ErrorNotice,
    GoAway,
    Interrupt,
    Metrics,
    Partial,
    ServerMessage,
    SessionNotice,
    StateChanged,
    Token,
    Transcript,
)
from tests.protocol.realtime.said import Spoken, event, types

SOUND = bytes(4800)
"""100 ms at 24 kHz."""
METRICS = Metrics(1, 416.0, 0.0, 130.4, 30.0)
BEGUN = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
]
ENDED = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
]
TEXT = "response.output_audio_transcript.delta"
AUDIO = "response.output_audio.delta"
STARTED = "input_audio_buffer.speech_started"
STOPPED = "input_audio_buffer.speech_stopped"
UNDERSTOOD = [
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "conversation.item.input_audio_transcription.completed",
]


def one(events: list[dict[str, Any]], type_: str) -> dict[str, Any]:
    (found,) = [event for event in events if event["type"] == type_]
    return found


def reply(text: str = "Hello there.", token: str = "token001") -> list[ServerMessage]:
    """One that is sent, and not over."""
    return [Token(token), Caption(1, text), AgentAudio(token, SOUND), StateChanged("replying")]


def test_a_spoken_turn_and_its_answer() -> None:
    events = Spoken().hear(
        StateChanged("waiting"),
        StateChanged("listening"),
        StateChanged("transcribing"),
        Transcript(1, "user", "Hello?", "en"),
        *reply(),
        METRICS,
        Transcript(1, "agent", "Hello there."),
        StateChanged("waiting"),
    )
    assert types(events) == [STARTED, STOPPED, *UNDERSTOOD, *BEGUN, TEXT, AUDIO, *ENDED]
    assert one(events, UNDERSTOOD[-1])["transcript"] == "Hello?"
    assert one(events, TEXT)["delta"] == "Hello there."
    assert base64.b64decode(one(events, AUDIO)["delta"]) == SOUND
    done = one(events, "response.done")["response"]
    assert done["status"] == "completed"
    assert done["metadata"] == {
        "endpoint_ms": "416", "stt_ms": "0", "llm_ms": "130", "tts_ms": "30"
    }  # fmt: skip
    assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": "Hello there."}]


def test_items_follow_each_other() -> None:
    events = Spoken().hear(
        StateChanged("listening"),
        Transcript(1, "user", "Hello?"),
        *reply(),
        StateChanged("waiting"),
    )
    user, agent = [found for found in events if found["type"] == "conversation.item.added"]
    assert user["previous_item_id"] is None and agent["previous_item_id"] == user["item"]["id"]
    assert len({found["event_id"] for found in events}) == len(events)


def test_an_interruption_ends_the_response_and_says_what_was_heard() -> None:
    spoken = Spoken()
    spoken.hear(*reply("Hello there, "), Caption(1, "my friend."), AgentAudio("token001", SOUND))
    events = spoken.hear(
        Interrupt("token002"),
        Transcript(1, "agent", "Hello there, my"),
        StateChanged("listening"),
    )
    assert types(events) == [STARTED, *ENDED, "conversation.item.truncated"]
    done = one(events, "response.done")["response"]
    assert done["status"] == "cancelled" and done["status_details"]["reason"] == "turn_detected"
    assert done["output"][0]["status"] == "incomplete"
    truncated = one(events, "conversation.item.truncated")
    assert truncated["transcript"] == "Hello there, my"
    assert truncated["audio_end_ms"] == 120, "the first piece, and 2 of 10 characters"
    assert truncated["item_id"] == done["output"][0]["id"]
    frame = {"type": "conversation.item.retrieve", "item_id": truncated["item_id"]}
    _, (retrieved,) = spoken.exchange(json.dumps(frame))
    assert retrieved["item"]["content"][0]["transcript"] == "Hello there, my"


def test_of_an_interruption_before_a_word_was_heard_nothing_is_left() -> None:
    spoken = Spoken()
    spoken.hear(*reply())
    events = spoken.hear(Interrupt("token002"), StateChanged("listening"))
    assert one(events, "conversation.item.truncated")["audio_end_ms"] == 0


def test_a_false_alarm_is_followed_by_a_response_with_the_rest() -> None:
    spoken = Spoken()
    spoken.hear(*reply("Hello there, my friend."))
    events = spoken.hear(
        Interrupt("token002"),
        Transcript(1, "agent", "Hello there,"),
        Caption(1, "my friend."),
        AgentAudio("token002", SOUND),
        StateChanged("waiting"),
    )
    truncated = "conversation.item.truncated"
    assert types(events) == [
        STARTED, *ENDED, truncated, STOPPED, *BEGUN, TEXT, AUDIO, *ENDED
    ]  # fmt: skip
    assert events[-1]["response"]["status"] == "completed"


def test_a_response_that_the_client_cancels_is_no_speech() -> None:
    spoken = Spoken()
    spoken.hear(*reply())
    spoken.send("response.cancel")
    events = spoken.hear(Interrupt("token002"), StateChanged("waiting"))
    assert types(events) == [*ENDED, "conversation.item.truncated"]
    done = one(events, "response.done")["response"]
    assert done["status_details"]["reason"] == "client_cancelled"


def test_a_reply_that_is_withdrawn_before_it_is_heard_has_no_item() -> None:
    spoken = Spoken()
    spoken.hear(StateChanged("listening"), Transcript(1, "user", "So"), Token("token001"))
    events = spoken.hear(StateChanged("listening"))
    assert types(events) == [STARTED, "response.done"]
    assert events[-1]["response"]["output"] == []
    assert events[-1]["response"]["status"] == "cancelled"
    again = spoken.hear(Transcript(1, "user", "So what?"), StateChanged("replying"))
    assert types(again) == [STOPPED, *UNDERSTOOD, "response.created"]


def test_a_typed_text_is_no_speech() -> None:
    spoken = Spoken()
    content = [{"type": "input_text", "text": "Hello?"}]
    item = {"type": "message", "role": "user", "content": content}
    spoken.send("conversation.item.create", item=item)
    spoken.send("response.create")
    events = spoken.hear(StateChanged("waiting"), Transcript(1, "user", "Hello?"), *reply())
    assert types(events) == [*BEGUN, TEXT, AUDIO]


def test_mere_noise_becomes_no_item_and_the_next_speech_has_its_id() -> None:
    spoken = Spoken()
    noise = spoken.hear(StateChanged("listening"), StateChanged("waiting"))
    speech = spoken.hear(StateChanged("listening"), Transcript(1, "user", "Hello?"))
    assert types(noise) == [STARTED, STOPPED]
    assert types(speech) == [STARTED, STOPPED, *UNDERSTOOD]
    assert noise[0]["item_id"] == one(speech, UNDERSTOOD[0])["item_id"]


def test_a_reply_that_fails_before_it_is_heard() -> None:
    spoken = Spoken()
    spoken.hear(Token("token001"), StateChanged("replying"))
    error, done = spoken.hear(ErrorNotice(1, "tts", "no voice"), StateChanged("waiting"))
    assert error["error"]["code"] == "tts_failed" and error["error"]["type"] == "server_error"
    assert done["response"]["status"] == "failed"


def test_sound_is_sent_in_the_format_of_the_session() -> None:
    spoken = Spoken()
    output = {"format": {"type": "audio/pcmu"}}
    spoken.send("session.update", session={"audio": {"output": output}})
    events = spoken.hear(*reply())
    assert base64.b64decode(one(events, AUDIO)["delta"]) == b"\xff" * (len(SOUND) // 2)


def test_before_a_close_frame_the_client_is_told_why() -> None:
    wire = Spoken().wire
    (said,) = wire.farewell(CloseCode.TIME_IS_UP, "a session may last for 60 s")
    assert event(said)["error"] == {
        "type": "invalid_request_error",
        "code": "session_expired",
        "message": "a session may last for 60 s",
        "param": None,
        "event_id": None,
    }
    assert not wire.farewell(CloseCode.GONE, "the client is gone")
    (said,) = wire.farewell(CloseCode.BAD_MESSAGE, "open: 'language': not known here")
    assert event(said)["error"]["code"] == "bad_message"
    for code in CloseCode:
        assert all(event(frame)["type"] == "error" for frame in wire.farewell(code, "why"))


# --- whatever the conversation says ---

TEXTS = st.text(max_size=12)
TOKENS = st.sampled_from(["token001", "token002"])
STATES = st.sampled_from(["closed", "waiting", "listening", "transcribing", "replying"])
NUMBERS = st.floats(0, 1e6)
MESSAGES: st.SearchStrategy[ServerMessage] = st.one_of(
    st.builds(Token, TOKENS),
    st.builds(AgentAudio, TOKENS, st.binary(max_size=20).map(lambda audio: audio * 2)),
    st.builds(Interrupt, TOKENS),
    st.builds(Transcript, st.just(1), st.sampled_from(["user", "agent"]), TEXTS),
    st.builds(Partial, st.just(1), TEXTS),
    st.builds(Caption, st.just(1), TEXTS),
    st.builds(StateChanged, STATES),
    st.builds(Duck, st.booleans()),
    st.builds(Metrics, st.just(1), NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    st.builds(
        ErrorNotice, st.just(1), st.sampled_from(["open", "audio", "stt", "llm", "tts"]), TEXTS
    ),
    st.builds(SessionNotice, TEXTS, NUMBERS),
    st.builds(GoAway, st.integers(0, 60_000)),
)
MU_LAW = {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}
REQUESTS = st.sampled_from(
    [
        {"type": "response.cancel"},
        {"type": "response.create"},
        {"type": "conversation.item.retrieve", "item_id": "item_1"},
        {"type": "input_audio_buffer.append", "audio": "AAAA" * 4},
        {"type": "conversation.item.truncate", "item_id": "item_1", "audio_end_ms": 50},
        {
            "type": "conversation.item.create",
            "item": {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Hi."}],
            },
        },
        {"type": "session.update", "session": MU_LAW},
        {"type": "nonsense"},
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(MESSAGES, REQUESTS), max_size=30))
def test_every_event_is_one_that_the_package_takes(said: list[Any]) -> None:
    spoken = Spoken()
    events = [event(frame) for frame in spoken.wire.greeting()]
    for message in said:
        if isinstance(message, dict):
            events += spoken.exchange(json.dumps(message))[1]
        else:
            frames = spoken.hear(message)
            assert not isinstance(message, AgentAudio) or frames[-1]["type"] == AUDIO
            events += frames
    assert len({found["event_id"] for found in events}) == len(events)
    _check_order(events)


def _check_order(events: list[dict[str, Any]]) -> None:
    """Responses follow each other and end; an item is added before anything else is said about it;
    speech starts and stops in turns."""
    response, items, speech = None, set(), 0
    for found in events:
        match found["type"]:
            case "response.created":
                assert response is None
                response = found["response"]["id"]
            case "response.done":
                assert found["response"]["id"] == response
                response = None
            case "conversation.item.added":
                assert found["item"]["id"] not in items
                items.add(found["item"]["id"])
            case type_ if type_.startswith("response."):
                assert found["response_id"] == response
                assert found.get("item_id") in {None, *items}
            case "input_audio_buffer.speech_started" | "input_audio_buffer.speech_stopped":
                speech += 1 if found["type"].endswith("started") else -1
                assert speech in (0, 1)
            case "conversation.item.truncated" | "conversation.item.done":
                item = found.get("item_id") or found["item"]["id"]
                assert item in items
