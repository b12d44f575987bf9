"""`POST /v1/realtime/client_secrets`: client keys, in OpenAI's shape."""

import uuid
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serve_app.access import client_keys
from serve_app.access.credentials import presented
from serve_app.ingress.access import Gate, Guest
from serve_app.ingress.rest.bodies import json_object
from serve_app.ingress.rest.guarded import Guarded
from serve_app.ingress.rest.refusals import NO_STORE, HttpRefused
from serve_app.protocol.limits import FrameLimits
from serve_app.protocol.realtime.editing import Editor
from serve_app.protocol.realtime.options import Defaults, Options
from serve_app.protocol.realtime.refused import Refused

_FIELDS: Final = {"expires_after", "session"}
_NO_KEY: Final = f"{client_keys.OPENAIS}no_key_is_needed_here"
"""Where nobody is asked for a key, so that the same programs work."""
_SESSION_PARAMS: Final = {
    "instructions": "instructions",
    "voice": "audio.output.voice",
    "language": "audio.input.transcription.language",
    "input_format": "audio.input.format",
    "output_format": "audio.output.format",
    "turn": "audio.input.turn_detection",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "modality": "output_modalities",
}


def client_secret_routes(gate: Gate, defaults: Defaults, limits: FrameLimits) -> list[Route]:
    """One."""
    editor = Editor(defaults, limits)

    async def answer(request: Request, guest: Guest) -> Response:
        body = await json_object(request)
        if unknown := body.keys() - _FIELDS:
            name = ascii(min(unknown))[:80]
            raise Refused("unknown_parameter", f"{name} is not known: use expires_after, session")
        lasts_s = _lasts_s(body.get("expires_after"), gate.settings.client_key_s)
        _refuse_settings(editor, body.get("session"))
        value, expires_s = await _made(gate, guest, presented(request.headers, ()), lasts_s)
        session = {"id": f"sess_{uuid.uuid4().hex}", **Options().shown(defaults)}
        answer = {"value": value, "expires_at": expires_s, "session": session}
        return JSONResponse(answer, headers=NO_STORE)

    path = "/v1/realtime/client_secrets"
    return [Route(path, Guarded(gate, answer), methods=["POST"])]


async def _made(gate: Gate, guest: Guest, credential: str, lasts_s: float) -> tuple[str, int]:
    """A client key and the Unix time of its end. Raises KeyRefused and HttpRefused."""
    if not gate.settings.asks_for_keys:
        return _NO_KEY, int(gate.now_s() + lasts_s)
    if not gate.settings.keys_file:
        message = "there is no file of keys here to make one from: a web token can be as short"
        raise HttpRefused(501, "no_keys_file", message)
    if client_keys.is_one(credential) or not guest.has_static_key:
        raise HttpRefused(403, "server_key_needed", "only a key of the server's file makes others")
    key = await gate.static_key(credential)
    made = gate.client_key(key, lasts_s)
    if made is None:
        message = f"{gate.settings.client_key_secret_variable} is not set"
        raise HttpRefused(501, "no_client_key_secret", message)
    value, expires_s = made
    return client_keys.OPENAIS + value, int(expires_s)


def _lasts_s(after: Any, default: float) -> float:
    """Raises Refused."""
    if after is None:
        return default
    if not isinstance(after, dict) or after.keys() - {"anchor", "seconds"}:
        raise Refused("invalid_type", "it has anchor and seconds, no more", "expires_after")
    if after.get("anchor", "created_at") != "created_at":
        raise Refused("invalid_value", "it can only be created_at", "expires_after.anchor")
    seconds = after.get("seconds", default)
    if type(seconds) not in (int, float) or not 1 <= seconds <= client_keys.LONGEST_S:
        message = f"it has to be a number from 1 to {client_keys.LONGEST_S:.0f}"
        raise Refused("invalid_value", message, "expires_after.seconds")
    return float(seconds)


def _refuse_settings(editor: Editor, session: Any) -> None:
    """A key holds no settings. If they were taken and forgotten, whoever wrote them would think
    that a client is bound to them. Raises Refused for one that has an effect."""
    if session is None:
        return
    wanted, untouched = editor.edited(Options(), session, has_begun=False), Options()
    for name, path in _SESSION_PARAMS.items():
        if getattr(wanted, name) != getattr(untouched, name):
            message = f"{path}: a key holds no settings here: let the client send session.update"
            raise Refused("unsupported_value", message, f"session.{path}")
