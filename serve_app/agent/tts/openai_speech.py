"""Voices behind OpenAI's /v1/audio/speech, or any server that has it (Kokoro-FastAPI, speaches)."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Literal, cast

from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncAPIResponse

from serve_app.agent.engines import Speech, TtsEngine
from serve_app.agent.openai_client import openai_client
from serve_app.agent.openai_errors import engine_errors
from serve_app.agent.tts.answers.reader import AnswerReader
from serve_app.agent.tts.clause_requests import speak_by_clause
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.errors import EngineError, EngineRefused
from serve_app.protocol.formats import parse_format
from serve_app.settings.agent import TtsSettings

_Format = Literal["pcm", "wav", "mp3", "flac", "opus"]
_BAD_REQUEST = (400, 415, 422)
_FORMAT_NAMED = re.compile(r'response_format(?!\\?"\s*:)')
"""In an error, but not as a key of the request, which some servers quote."""
_NO_AUDIO = ("application/json", "text/")
"""What error pages are sent as. Some proxies send them with status 200."""


class OpenAiSpeech(TtsEngine):
    """One streamed request per clause. The next one is made while a clause is being received.

    Whatever the server sends in place of pcm is unwrapped, decoded or refused (AnswerReader).
    """

    def __init__(self, settings: TtsSettings, api_key: str) -> None:
        """`api_key` may be empty for a server that needs none."""
        wanted = parse_format(settings.output_format or "pcm_44100")
        self.format = parse_format(f"pcm_{settings.sample_rate_hz}") if wanted.is_pcm else wanted
        asked = (
            self.format.codec if settings.response_format == "auto" else settings.response_format
        )
        self._asked = cast(_Format, asked)
        self._settings = settings
        self._key_variable = settings.api_key_variable or "api_key_variable"
        self._client = openai_client(settings.api_url, api_key)

    def speak(
        self, clauses: AsyncIterator[str], sound: Sound = ANY_SOUND
    ) -> AsyncGenerator[Speech, None]:
        """See TtsEngine; `sound.voice` is a name that the server knows.

        Raises EngineTimeout when a clause that is due waits `first_audio_timeout_s` for audio,
        EngineUnavailable, or EngineError when a request is refused.
        """
        return speak_by_clause(
            clauses,
            lambda text: self._audio(text, sound.voice or self._settings.voice),
            self.format,
            self._settings.first_audio_timeout_s,
        )

    async def aclose(self) -> None:
        """Closes the pool of connections."""
        await self._client.close()

    async def _audio(self, text: str, voice: str) -> AsyncGenerator[bytes, None]:
        with engine_errors("tts", self._key_variable):
            async with AsyncExitStack() as stack:
                response = await self._open(stack, text, voice)
                kind = response.headers.get("content-type", "")
                if kind.startswith(_NO_AUDIO):
                    raise EngineError("tts", "the server's answer is not audio", retryable=True)
                reader = AnswerReader(kind, self.format)
                body = cast(AsyncGenerator[bytes, None], response.iter_bytes())
                async with aclosing(body):
                    async for piece in body:
                        if audio := reader.push(piece):
                            yield audio
                # A file is decoded now.
                if audio := await asyncio.to_thread(reader.flush):
                    yield audio

    async def _open(self, stack: AsyncExitStack, text: str, voice: str) -> AsyncAPIResponse[bytes]:
        try:
            return await self._request(stack, text, voice)
        except APITimeoutError:
            raise
        except APIStatusError as error:
            if error.status_code in _BAD_REQUEST and _FORMAT_NAMED.search(error.response.text):
                raise self._without_this_format() from None
            raise
        except APIConnectionError:
            # Probably a kept-alive connection that the server has just closed.
            return await self._request(stack, text, voice)

    async def _request(
        self, stack: AsyncExitStack, text: str, voice: str
    ) -> AsyncAPIResponse[bytes]:
        request = self._client.audio.speech.with_streaming_response.create(
            input=text, model=self._settings.model, voice=voice, response_format=self._asked
        )
        return cast(AsyncAPIResponse[bytes], await stack.enter_async_context(request))

    def _without_this_format(self) -> EngineRefused:
        return EngineRefused(
            "tts",
            f"the speech server has no response_format {self._asked}: set"
            " args.agent.tts.response_format to one that it has (wav, mp3, flac or pcm)",
        )
