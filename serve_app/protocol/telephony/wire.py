"""Twilio's Media Streams, for one call: `<Connect><Stream>`, in both directions.

    connected, start, media, dtmf, mark, stop ──read──▶ messages ──▶ conversation
    media, mark, clear ◀──write── messages ◀──┘

`start` opens the conversation, with the custom parameters of the `<Stream>` as its options. There
is no message for an error: the close frame says what it was, and the call goes on with what
follows `<Connect>`.
"""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from serve_app.protocol.limits import DEFAULT_FRAMES, FrameLimits
from serve_app.protocol.messages import (
    AgentAudio,
    Audio,
    ClientMessage,
    Close,
    Interrupt,
    ServerMessage,
)
from serve_app.protocol.sound import MU_LAW, Ears
from serve_app.protocol.telephony import requests
from serve_app.protocol.telephony.keypad import Keypad
from serve_app.protocol.telephony.marks import Marks
from serve_app.protocol.telephony.timeline import BYTES_PER_MS, Timeline
from serve_app.protocol.violation import ProtocolViolation
from serve_app.protocol.wire import AudioFrame, Frame, Reading, Writing


class TelephonyWire:
    def __init__(self, limits: FrameLimits = DEFAULT_FRAMES) -> None:
        self._limits = limits
        self._stream = ""
        """Twilio's name for it; empty before `start`."""
        self._timeline = Timeline()
        self._ears = Ears(MU_LAW)
        self._keypad = Keypad()
        self._marks = Marks()
        self._heard_ms = 0.0
        self._handlers: dict[str, Callable[[dict[str, Any]], Sequence[ClientMessage]]] = {
            "media": self._media,
            "dtmf": self._dtmf,
            "mark": self._mark,
        }

    def greeting(self) -> Sequence[Frame]:
        return ()

    def read(self, frame: Frame) -> Reading:
        message = requests.parsed(frame, self._limits)
        event = message["event"]
        if event == "start":
            return Reading(self._start(message))
        if event == "stop":
            return Reading((Close(),))
        handler = self._handlers.get(event)
        if handler is None:  # `connected`, and what Twilio may come up with
            return Reading()
        if not self._stream:
            raise ProtocolViolation(f"{event}: before 'start'")
        return Reading(handler(message))

    def write(self, message: ServerMessage) -> Writing:
        match message:
            case AgentAudio(token, pcm):
                sound = MU_LAW.encode(pcm)
                payload = base64.b64encode(sound).decode()
                mark = self._marks.follow(token, len(sound) / BYTES_PER_MS)
                return (
                    AudioFrame(self._said("media", media={"payload": payload})),
                    self._said("mark", mark={"name": mark}),
                )
            case Interrupt():
                self._marks.cleared()
                return (self._said("clear"),)
            case _:
                return ()

    def farewell(self, code: int, reason: str) -> Sequence[Frame]:
        return ()

    def _said(self, event: str, **fields: Any) -> str:
        return json.dumps({"event": event, "streamSid": self._stream, **fields})

    # --- what is read ---

    def _start(self, message: dict[str, Any]) -> Sequence[ClientMessage]:
        if self._stream:
            return ()
        start = requests.part(message, "start")
        requests.check_format(start)
        opened = requests.opened(start, self._limits)
        self._stream = requests.text(start, "streamSid", "start")
        return (opened,)

    def _media(self, message: dict[str, Any]) -> Sequence[ClientMessage]:
        media = requests.part(message, "media")
        if media.get("track") == "outbound":
            return ()
        data = self._timeline.take(requests.chunk(media))
        if not data:
            return ()
        self._heard_ms += len(data) / BYTES_PER_MS
        return (Audio(self._ears.hear(data)), *self._keypad.pause(self._heard_ms))

    def _dtmf(self, message: dict[str, Any]) -> Sequence[ClientMessage]:
        key = requests.text(requests.part(message, "dtmf"), "digit", "dtmf")
        return self._keypad.press(key, self._heard_ms)

    def _mark(self, message: dict[str, Any]) -> Sequence[ClientMessage]:
        name = requests.text(requests.part(message, "mark"), "name", "mark")
        return self._marks.returned(name)
