"""`/v1/audio/speech` of the stand-in for OpenAI."""

import asyncio
import json
from dataclasses import dataclass

from serve_app.fakes.http import AudioEnding, Request, response, write, write_audio
from serve_app.fakes.speech_answers import SpeechAnswer, answered
from serve_app.fakes.tone import spoken

_FORMATS = {"pcm": "pcm_24000", "mp3": "mp3_24000_128", "opus": "opus_48000_64"}


@dataclass(frozen=True, slots=True)
class SpeechScript:
    """How requests for speech are answered."""

    chunk_bytes: int = 4096
    extra_bytes: int = 0
    """Appended to the audio of each request; an odd number makes its size odd."""
    first_audio_delay_s: float = 0.0
    chunk_delay_s: float = 0.0
    """Pause before each further piece."""
    ending: AudioEnding = "done"
    """Any other ending comes after half of the audio: silence, or the end of the connection."""
    ending_from: int = 1
    """The first request that ends like this, counted from 1."""
    status: int = 200
    """With any other status than 200 the answer is an error whose message quotes the request."""
    error_code: str | None = None
    retry_after_s: int | None = None
    content_type: str = "audio/pcm"
    answer: SpeechAnswer = "asked"
    """Anything else is sent whatever format is asked for, with its own content type."""
    refused_formats: tuple[str, ...] = ()
    """Answered with 400 as a `response_format`."""


async def answer_speech(
    script: SpeechScript, request: Request, number: int, writer: asyncio.StreamWriter
) -> bool:
    """Speaks the text of request `number`; False when the connection cannot be used again."""
    asked = request.body["response_format"]
    if script.status != 200:
        error = {"message": json.dumps(request.body), "code": script.error_code}
        await _refuse(writer, script.status, error, script.retry_after_s)
        return True
    if asked in script.refused_formats:
        error = {"message": f"response_format: {asked} is not supported", "code": None}
        await _refuse(writer, 400, error)
        return True
    chunks, content_type = _chunks(script, asked, request.body["input"])
    ending = script.ending if number >= script.ending_from else "done"
    return await write_audio(
        writer,
        chunks if ending == "done" else chunks[: len(chunks) // 2],
        script.first_audio_delay_s,
        script.chunk_delay_s,
        ending,
        content_type,
    )


def _chunks(script: SpeechScript, asked: str, text: str) -> tuple[list[bytes], str]:
    """The body in pieces, and its content type."""
    if script.answer == "asked" and asked in _FORMATS:
        said = spoken(text, _FORMATS[asked], script.chunk_bytes, script.extra_bytes)
        return [chunk.audio for chunk in said], script.content_type
    body, content_type = answered(asked if script.answer == "asked" else script.answer, text)
    size = script.chunk_bytes
    return [body[start : start + size] for start in range(0, len(body), size)], content_type


async def _refuse(
    writer: asyncio.StreamWriter,
    status: int,
    error: dict[str, str | None],
    retry_after_s: int | None = None,
) -> None:
    await write(writer, response(status, json.dumps({"error": error}).encode(), retry_after_s))
