"""Sound files to be transcribed, and a Whisper that is a script."""

import asyncio
import io
from typing import Any

import soundfile
from openai import AsyncOpenAI

from serve_app.stt.job import Heard, Request
from tests.ingress.replica import Replica
from tests.speech import clip

PATH = "/v1/audio/transcriptions"
RATE_HZ = 16_000
SPEECH = clip("librivox_0930")


def file(samples: Any = SPEECH, **how: Any) -> tuple[str, bytes]:
    data = io.BytesIO()
    soundfile.write(data, samples, RATE_HZ, **{"format": "WAV", **how})
    return "speech", data.getvalue()


def form_of(sound: bytes) -> bytes:
    head = b'--a\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return head + sound + b"\r\n--a--\r\n"


class Whisper:
    """In the place of the script's."""

    def __init__(self, server: Replica, *answers: Heard | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        server.script.transcribe = self.transcribe  # type: ignore[method-assign]

    async def transcribe(self, request: Request) -> Heard:
        self.asked.append(request)
        self.is_asked.set()
        await self.may_answer.wait()
        answer = self.answers.pop(0) if self.answers else Heard("Hello.", "en")
        if isinstance(answer, Exception):
            raise answer
        return answer


async def transcribe(client: AsyncOpenAI, **how: Any) -> Any:
    return await client.audio.transcriptions.create(**{"model": "any", "file": file(), **how})
