"""Messages and their bytes, which Python and JavaScript both have to make and read: golden.json.

Made once by `serve_app/protocol/codec.py`, and never to change. `python -m tests.protocol.golden`
writes the file again when a message is added.
"""

import json
from pathlib import Path
from typing import Any

import msgpack

from serve_app.protocol.codec import encode
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
    ToolCall,
    Transcript,
)

GOLDEN = Path(__file__).with_name("golden.json")

FROM_SERVER: list[ServerMessage] = [
    Token("abcdefgh"),
    AgentAudio("abcdefgh", b"\1\2\3\4"),
    AgentAudio("abcdefgh", bytes(300)),
    Interrupt("hgfedcba"),
    Transcript(2, "user", "Grüße, 世界 🙂"),
    Transcript(300, "agent", "x" * 40),
    Partial(2, "Go on"),
    Caption(70_000, "Hello, "),
    StateChanged("waiting"),
    Metrics(3, 416.0, 90.25, 0.0, 100.0),
    ErrorNotice(2, "llm", "y" * 300),
    SessionNotice("id.secret", 60.0, 5_000_000),
    GoAway(8000),
    Transcript(4, "user", "Guten Tag.", "de"),
    Duck(True),
    Duck(False),
    ToolCall(5, "c00005001", "look", '{"at": "Grüße"}'),
]
FROM_CLIENT: list[dict[str, Any]] = [
    {"type": "open", "prompt": "Be kind."},
    {
        "type": "open",
        "prompt": "z" * 300,
        "events": ["caption", "metrics"],
        "greeting": False,
        "language": "de",
        "voice": "v",
        "sample_rate_hz": 24000,
        "turn": {"complete_threshold": 0.75, "interruptions": False, "backchannels": ["hm"]},
        "resume": True,
    },
    {
        "type": "open",
        "resume_token": "id.secret",
        "played": {"token": "abcdefgh", "played_ms": 1234.5},
    },
    {"type": "audio", "audio": b"\x00\x00\x00\x3f\x00\x00\x80\xbe"},
    {"type": "audio", "audio": bytes(2048)},
    {"type": "state", "state": "waiting"},
    {"type": "text", "text": "Grüße"},
    {"type": "text", "text": "Grüße", "id": 9_007_199_254_740_991},
    {"type": "interrupt"},
    {"type": "played", "token": "abcdefgh", "played_ms": 250},
    {"type": "played", "token": "abcdefgh", "played_ms": 0.5},
    {"type": "close"},
    {"type": "open", "prompt": "Be kind.", "tools": '[{"name": "look"}]'},
    {"type": "tool_result", "call_id": "c00005001", "output": "Grüße"},
    {"type": "commit"},
    {"type": "clear"},
    {"type": "reply"},
]


def golden() -> list[dict[str, Any]]:
    """Bytes are hexadecimal, and binary values are maps with the one key `bytes`."""
    server = [("server", _fields(message), encode(message)) for message in FROM_SERVER]
    client = [("client", fields, bytes(msgpack.packb(fields))) for fields in FROM_CLIENT]
    return [
        {"from": side, "fields": _plain(fields), "frame": frame.hex()}
        for side, fields, frame in (*server, *client)
    ]


def _fields(message: ServerMessage) -> dict[str, Any]:
    """As a client sees them."""
    if isinstance(message, AgentAudio):
        return {"type": "audio", "audio": message.token.encode() + message.audio}
    return dict(msgpack.unpackb(encode(message)))


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"bytes": value.hex()} if isinstance(value, bytes) else value
        for name, value in fields.items()
    }


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden(), indent=0, ensure_ascii=False) + "\n")
