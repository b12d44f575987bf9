"""Twilio's side of a media stream, as its documentation describes the messages."""

import base64
import json
from typing import Any

from serve_app.protocol.messages import ClientMessage, ServerMessage
from serve_app.protocol.telephony.wire import TelephonyWire
from serve_app.protocol.wire import AudioFrame, Frame

STREAM = "MZ18ad3ab5a668481ce02b83e7395059f0"
CALL = "CA4a1e2f7d0c3b5a69788796a5b4c3d2e1"
ACCOUNT = "AC0f1e2d3c4b5a69788796a5b4c3d2e1f0"
CHUNK_MS = 20
CHUNK_BYTES = 160
CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}


class Twilio:
    """Writes the messages of one call. All numbers are texts, as Twilio writes them."""

    def __init__(self, **parameters: Any) -> None:
        self._parameters = parameters
        self._sequence = 0

    def connected(self) -> str:
        return json.dumps(CONNECTED)

    def start(self, **fields: Any) -> str:
        start = {
            "accountSid": ACCOUNT,
            "streamSid": STREAM,
            "callSid": CALL,
            "tracks": ["inbound"],
            "mediaFormat": FORMAT,
            "customParameters": self._parameters,
        }
        return self._message("start", {**start, **fields})

    def media(self, chunk: int, payload: bytes, at_ms: int | None = None, /, **fields: Any) -> str:
        """The chunks before it are 20 ms each, if nothing is said of its time."""
        media = {
            "track": "inbound",
            "chunk": str(chunk),
            "timestamp": str((chunk - 1) * CHUNK_MS if at_ms is None else at_ms),
            "payload": base64.b64encode(payload).decode(),
        }
        return self._message("media", {**media, **fields})

    def dtmf(self, digit: str) -> str:
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        return self._message("mark", {"name": name})

    def stop(self) -> str:
        return self._message("stop", {"accountSid": ACCOUNT, "callSid": CALL})

    def _message(self, event: str, fields: Any) -> str:
        self._sequence += 1
        numbered = {"event": event, "sequenceNumber": str(self._sequence), "streamSid": STREAM}
        return json.dumps({**numbered, event: fields})


class Called:
    """A wire that is spoken to by Twilio."""

    def __init__(self, **parameters: Any) -> None:
        self.wire = TelephonyWire()
        self.twilio = Twilio(**parameters)
        self.opened = [*self.read(self.twilio.connected()), *self.read(self.twilio.start())]

    def read(self, frame: Frame) -> list[ClientMessage]:
        reading = self.wire.read(frame)
        assert not reading.answers
        return list(reading.messages)

    def write(self, message: ServerMessage) -> list[dict[str, Any]]:
        """What Twilio gets."""
        frames = self.wire.write(message)
        return [json.loads(f.frame if isinstance(f, AudioFrame) else f) for f in frames]
