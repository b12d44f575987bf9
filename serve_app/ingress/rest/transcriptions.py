"""`POST /v1/audio/transcriptions`: a sound file as text, by the transcribers of conversations, when
these need them least."""

import asyncio
import uuid
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.errors import AtCapacity, EngineTimeout
from serve_app.ingress.access import Gate, Guest
from serve_app.ingress.rest.decoding import Decoder, Pcm
from serve_app.ingress.rest.forms import transcription_form
from serve_app.ingress.rest.guarded import Guarded
from serve_app.ingress.rest.places import Places
from serve_app.ingress.rest.refusals import NO_STORE
from serve_app.ingress.rest.segments import segments
from serve_app.ingress.services import Services
from serve_app.protocol.languages import LANGUAGES
from serve_app.protocol.messages import Open
from serve_app.settings.schema import AppConfig
from serve_app.stt.job import Heard, Request, Urgency

_BUSY: Final = "conversations need the transcribers: try again later"


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a file that has words."""

    start_s: float
    end_s: float
    heard: Heard


class Transcriptions:
    """Of one ingress replica."""

    def __init__(self, config: AppConfig, services: Callable[[], Services]) -> None:
        self._limits = config.ingress.audio
        self._longest = config.turn.max_utterance_ms * SAMPLE_RATE_HZ // 1000
        self._services = services
        self._decoder = Decoder(self._limits.file_s)

    async def answer(self, request: HttpRequest, guest: Guest) -> Response:
        if not self._services().calls.is_at_ease:
            raise AtCapacity(_BUSY)
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                pcm, language, format_ = await self._decoded(request)
                found = [one async for one in self._segments(pcm, language)]
        except TimeoutError:
            message = f"the file was not transcribed within {self._limits.timeout_s:g} s"
            raise EngineTimeout("stt", message) from None
        return _written(format_, found, len(pcm) / SAMPLE_RATE_HZ)

    async def _decoded(self, request: HttpRequest) -> tuple[Pcm, str, str]:
        """The samples, and the language and the format that are asked for. The file itself, which
        may be large, is not kept while transcribers work on it."""
        form = await transcription_form(request, self._limits.file_bytes)
        asked = await self._services().check(Open("", language=form.language))
        return await self._decoder.decoded(form.file), asked.language, form.response_format

    async def _segments(self, pcm: Pcm, language: str) -> AsyncIterator[Segment]:
        """One after the other, so that a long file does not fill the queue."""
        name = uuid.uuid4().hex
        for number, (start, samples) in enumerate(segments(pcm, self._longest)):
            request = Request(f"{name}/{number}", samples, language, Urgency.FILE)
            heard = await self._services().calls.transcribe(request)
            if heard.text:
                start_s, end_s = start / SAMPLE_RATE_HZ, (start + len(samples)) / SAMPLE_RATE_HZ
                yield Segment(start_s, end_s, heard)


def transcription_routes(
    config: AppConfig, gate: Gate, services: Callable[[], Services]
) -> list[Route]:
    """One."""
    limits = config.ingress.audio
    places = Places(limits.transcriptions, limits.of_client)
    answer = Transcriptions(config, services).answer
    app = Guarded(gate, answer, places.place)
    return [Route("/v1/audio/transcriptions", app, methods=["POST"])]


def _written(format_: str, found: list[Segment], duration_s: float) -> Response:
    text = " ".join(segment.heard.text for segment in found)
    if format_ == "text":
        return PlainTextResponse(f"{text}\n", headers=NO_STORE)
    usage = {"type": "duration", "seconds": round(duration_s, 2)}
    fields: dict[str, Any] = {"text": text, "usage": usage}
    if format_ == "verbose_json":
        fields |= _details(found, duration_s)
    return JSONResponse(fields, headers=NO_STORE)


def _details(found: list[Segment], duration_s: float) -> dict[str, Any]:
    """What of `verbose_json` is known here."""
    code = found[0].heard.language if found else ""
    return {
        "task": "transcribe",
        "language": LANGUAGES.get(code, code),
        "duration": round(duration_s, 2),
        "segments": [_detail(number, segment) for number, segment in enumerate(found)],
    }


def _detail(number: int, segment: Segment) -> dict[str, Any]:
    """As openai/whisper has it: clients with types want all of it."""
    heard, plain = segment.heard, segment.heard.text.encode()
    return {
        "id": number,
        "seek": round(segment.start_s * 100),
        "start": round(segment.start_s, 2),
        "end": round(segment.end_s, 2),
        "text": heard.text,
        "tokens": heard.tokens,
        "temperature": 0.0,  # the likeliest words, always
        "avg_logprob": heard.log_probability,
        "compression_ratio": len(plain) / len(zlib.compress(plain)),
        "no_speech_prob": heard.no_speech,
    }
