"""`/v1/audio/speech` of the stand-in for OpenAI."""

import asyncio
import json
from dataclasses import dataclass

from serve_app.fakes.http import AudioEnding, Request, response, write, write_audio
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


async def answer_speech(
    script: SpeechScript, request: Request, number: int, writer: asyncio.StreamWriter
) -> bool:
    """Speaks the text of request `number`; False when the connection cannot be used again."""
    if script.status != 200:
        error = {"message": json.dumps(request.body), "code": script.error_code}
        body = json.dumps({"error": error}).encode()
        await write(writer, response(script.status, body, script.retry_after_s))
        return True
    format = _FORMATS[request.body["response_format"]]
    chunks = list(spoken(request.body["input"], format, script.chunk_bytes, script.extra_bytes))
    ending = script.ending if number >= script.ending_from else "done"
    return await write_audio(
        writer,
        [chunk.audio for chunk in (chunks if ending == "done" else chunks[: len(chunks) // 2])],
        script.first_audio_delay_s,
        script.chunk_delay_s,
        ending,
        script.content_type,
    )
