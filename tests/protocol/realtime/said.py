"""A wire of OpenAI's protocol, spoken to in plain dicts. What it says has to be what the `openai`
package takes."""

import base64
import json
from typing import Any, get_args

import pydantic
from openai.types.realtime import RealtimeServerEvent

from serve_app.protocol.messages import ClientMessage, Open, ServerMessage
from serve_app.protocol.realtime.options import Defaults
from serve_app.protocol.realtime.wire import RealtimeWire
from serve_app.protocol.wire import AudioFrame, Frame

SERVER_EVENTS: dict[str, type[pydantic.BaseModel]] = {
    get_args(event.model_fields["type"].annotation)[0]: event
    for event in get_args(get_args(RealtimeServerEvent)[0])
}
"""The package's own classes, by the type of the event."""
LOCAL = Defaults("heart", has_voices=False)
SILENCE = base64.b64encode(bytes(960)).decode()
"""20 ms of pcm at 24 kHz."""


def event(frame: Frame) -> dict[str, Any]:
    """What the client gets: raises if the package would not take it."""
    found: dict[str, Any] = json.loads(frame)
    SERVER_EVENTS[found["type"]].model_validate(found)
    return found


class Spoken:
    def __init__(self, defaults: Defaults = LOCAL) -> None:
        self.wire = RealtimeWire("abc", defaults)

    def send(self, type_: str, **fields: Any) -> list[ClientMessage]:
        """Of an event that is not refused."""
        messages, answers = self.exchange(json.dumps({"type": type_, **fields}))
        assert [answer for answer in answers if answer["type"] == "error"] == []
        return messages

    def exchange(self, frame: Frame) -> tuple[list[ClientMessage], list[dict[str, Any]]]:
        reading = self.wire.read(frame)
        return list(reading.messages), [event(answer) for answer in reading.answers]

    def refusal(self, type_: str, **fields: Any) -> dict[str, Any]:
        """The error about an event, which comes to nothing else."""
        frame = json.dumps({"type": type_, "event_id": "mine", **fields})
        messages, (answer,) = self.exchange(frame)
        assert not messages and answer["type"] == "error"
        assert answer["error"]["type"] == "invalid_request_error"
        assert answer["error"]["event_id"] == "mine"
        return dict(answer["error"])

    def hear(self, *messages: ServerMessage) -> list[dict[str, Any]]:
        """What the client gets of these."""
        frames = [frame for message in messages for frame in self.wire.write(message)]
        return [event(f.frame if isinstance(f, AudioFrame) else f) for f in frames]


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def update(spoken: Spoken, **session: Any) -> dict[str, Any]:
    """The session as it is then."""
    _, (answer,) = spoken.exchange(json.dumps({"type": "session.update", "session": session}))
    assert answer["type"] == "session.updated", answer
    return dict(answer["session"])


def opened(spoken: Spoken) -> Open:
    """The conversation that the first audio begins."""
    open_, _ = spoken.send("input_audio_buffer.append", audio=SILENCE)
    assert isinstance(open_, Open)
    return open_


def typed(text: str, **item: Any) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "user", "content": content, **item}
