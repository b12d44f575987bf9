"""`POST /v1/audio/speech`: a text in the agent's voice, streamed as it is made."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serve_app.conversation.piece import Piece
from serve_app.conversation.sound import Sound
from serve_app.errors import AtCapacity, EngineTimeout, VoiceError
from serve_app.ingress.access import Gate, Guest
from serve_app.ingress.calls import ReplyCall
from serve_app.ingress.rest.bodies import json_object
from serve_app.ingress.rest.guarded import Guarded
from serve_app.ingress.rest.places import Places
from serve_app.ingress.rest.refusals import NO_STORE
from serve_app.ingress.services import Services
from serve_app.ingress.wires import defaults
from serve_app.protocol.messages import Open
from serve_app.protocol.realtime.editing import text, voice_of
from serve_app.protocol.realtime.options import Defaults
from serve_app.protocol.realtime.refused import Refused
from serve_app.settings.schema import AppConfig

_RATE_HZ: Final = 24_000
"""OpenAI's."""
_TYPES: Final = {"wav": "audio/wav", "pcm": f"audio/pcm;rate={_RATE_HZ}"}
_HARMLESS: Final[dict[str, tuple[Any, ...]]] = {
    "speed": (None, 1),
    "instructions": (None, ""),
    "stream_format": (None, "audio"),
}
"""What may be asked for with these values only."""
_FIELDS: Final = {"input", "model", "voice", "response_format"} | set(_HARMLESS)
_BYTES_PER_CHAR: Final = 4
_BUSY: Final = "conversations need the voice: try again later"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What counts of a request."""

    text: str
    voice: str
    format: str


class Speeches:
    """Of one ingress replica."""

    def __init__(self, config: AppConfig, services: Callable[[], Services]) -> None:
        self._limits = config.ingress.audio
        self._defaults = defaults(config.agent)
        self._services = services

    async def answer(self, request: Request, guest: Guest) -> Response:
        """Once the first sound is there: until then, what goes wrong has a status."""
        wanted = _wanted(await json_object(request), self._defaults, self._limits.input_chars)
        services = self._services()
        await services.check(Open("", voice=wanted.voice, sample_rate_hz=_RATE_HZ))
        if not services.calls.is_at_ease:
            raise AtCapacity(_BUSY)
        ends_at_s = asyncio.get_running_loop().time() + self._limits.timeout_s
        call = services.calls.say(wanted.text, Sound(wanted.voice, _RATE_HZ))
        try:
            async with asyncio.timeout_at(ends_at_s):
                first = await _next(call)
            if not first:
                raise Refused("invalid_value", "there is nothing in it to say", "input")
        except TimeoutError:
            call.cancel()
            message = f"there was no sound within {self._limits.timeout_s:g} s"
            raise EngineTimeout("tts", message) from None
        except BaseException:
            call.cancel()
            raise
        return _Spoken(call, first, wanted.format, ends_at_s)


def speech_routes(config: AppConfig, gate: Gate, services: Callable[[], Services]) -> list[Route]:
    """One."""
    places = Places(config.ingress.audio.speeches, config.ingress.audio.of_client)
    app = Guarded(gate, Speeches(config, services).answer, places.place)
    return [Route("/v1/audio/speech", app, methods=["POST"])]


class _Broken(Exception):
    """Ends the connection before the answer is whole, so that no client takes it for that."""


class _Spoken(StreamingResponse):
    """All that the call brings, which ends with this."""

    def __init__(self, call: ReplyCall, first: bytes, format: str, ends_at_s: float) -> None:
        super().__init__(self._body(first, format), media_type=_TYPES[format], headers=NO_STORE)
        self._call = call
        self._ends_at_s = ends_at_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout_at(self._ends_at_s):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            raise _Broken("a speech took too long, or its client did not read it") from None
        finally:
            self._call.cancel()

    async def _body(self, first: bytes, format: str) -> AsyncIterator[bytes]:
        yield _wav_header() + first if format == "wav" else first
        try:
            while audio := await _next(self._call):
                yield audio
        except VoiceError as error:
            raise _Broken(f"a speech failed: {error}") from None


async def _next(call: ReplyCall) -> bytes:
    """The next sound; empty after the last one. Raises VoiceError."""
    while (part := await call.next()) is not None:
        if isinstance(part, Piece) and part.audio:
            return part.audio
    return b""


def _wanted(fields: dict[str, Any], known: Defaults, most_chars: int) -> Wanted:
    """Raises Refused."""
    for name, value in fields.items():
        if name not in _FIELDS:
            raise Refused("unknown_parameter", f"{ascii(name)[:80]} is not known here")
        if name in _HARMLESS and value not in _HARMLESS[name]:
            raise Refused("unsupported_value", f"{name}: the voice is as it is", name)
    format_ = "wav" if (asked := fields.get("response_format")) in (None, "") else asked
    if format_ not in tuple(_TYPES):  # it may be a list, which no dictionary can be asked for
        message = f"it has to be {' or '.join(_TYPES)}: other formats are not made here"
        raise Refused("unsupported_value", message, "response_format")
    words = _checked("input", lambda: text(fields.get("input"), most_chars * _BYTES_PER_CHAR))
    if not words.strip() or len(words) > most_chars:
        raise Refused("invalid_value", f"it has to have 1 to {most_chars} characters", "input")
    voice = _checked("voice", lambda: voice_of(fields.get("voice") or "", known))
    return Wanted(words, voice, format_)


def _checked(param: str, read: Callable[[], str]) -> str:
    try:
        return read()
    except ValueError as error:
        raise Refused("invalid_value", f"{param}: {error}", param) from None


def _wav_header() -> bytes:
    """Of a stream: how long it will be is not known, so the lengths are the longest ones."""
    endless, block = 0xFFFFFFFF, 2
    riff = struct.pack("<4sI4s", b"RIFF", endless, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, _RATE_HZ, _RATE_HZ * block, block, 16)
    return riff + form + struct.pack("<4sI", b"data", endless)
