"""Messages from the server as the server's own dataclasses."""

from dataclasses import fields as fields_of
from typing import Any

from serve_app.client.playback import Received
from serve_app.protocol.codec import SERVER_TYPES
from serve_app.protocol.messages import TOKEN_BYTES, AgentAudio, ServerMessage

_TYPES = {name: type for type, name in SERVER_TYPES.items()}


def typed(received: Received) -> ServerMessage | None:
    """None for a message that a newer server knows and this client does not. Fields that are not
    known are left out.

    Raises TypeError if a field is missing that the message cannot do without.
    """
    if received.kind == "audio":
        return AgentAudio(received.token, bytes(received.fields["audio"][TOKEN_BYTES:]))
    kind: Any = _TYPES.get(received.kind)
    if kind is None:
        return None
    known = {field.name for field in fields_of(kind)}
    message: ServerMessage = kind(**{k: v for k, v in received.fields.items() if k in known})
    return message
