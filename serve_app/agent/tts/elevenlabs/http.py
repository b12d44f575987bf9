"""HTTP streaming, with the elevenlabs package's client."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, cast

import httpx
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError

from serve_app.agent.engines import Speech, TtsEngine
from serve_app.agent.http_refusals import unreachable
from serve_app.agent.tts.clause_requests import speak_by_clause
from serve_app.agent.tts.elevenlabs.api import API_URL, in_path, key_variable, language_code
from serve_app.agent.tts.elevenlabs.refusals import refused
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.errors import EngineTimeout
from serve_app.protocol.formats import AudioFormat
from serve_app.settings.agent import ELEVEN_V3, TtsSettings

_HTTP_SCHEMES = {"ws": "http", "wss": "https"}


class HttpVoice(TtsEngine):
    """One streamed request per clause (`tts.transport: http`).

    Choose it where WebSockets are blocked, or for a model that has none. Each clause is spoken
    without knowledge of the one before it. There is no alignment, so the place within a clause
    is estimated.
    """

    def __init__(self, settings: TtsSettings, api_key: str, format: AudioFormat) -> None:
        """`format` is what ElevenLabs is asked for."""
        self.format = format
        self._settings = settings
        is_v3 = settings.model_id.startswith(ELEVEN_V3)
        # The elder models' option; ElevenLabs has deprecated it.
        self._latency = None if is_v3 else settings.optimize_streaming_latency
        scheme, _, rest = (settings.api_url or API_URL).rstrip("/").partition("://")
        # A redirect would take the API key to another host.
        self._http = httpx.AsyncClient(follow_redirects=False)
        self._client = AsyncElevenLabs(
            base_url=f"{_HTTP_SCHEMES.get(scheme, scheme)}://{rest}",
            api_key=api_key,
            timeout=settings.first_audio_timeout_s,  # for connecting, and between two pieces
            httpx_client=self._http,
        )

    def speak(
        self, clauses: AsyncIterator[str], sound: Sound = ANY_SOUND
    ) -> AsyncGenerator[Speech, None]:
        """See TtsEngine; `sound.voice` is a voice id of ElevenLabs.

        Raises EngineTimeout when a clause that is due waits `first_audio_timeout_s` for audio,
        EngineUnavailable, or EngineError for a refusal.
        """
        return speak_by_clause(
            clauses,
            lambda text: self._audio(text, sound),
            self.format,
            self._settings.first_audio_timeout_s,
        )

    async def aclose(self) -> None:
        """Closes the pool of connections."""
        await self._http.aclose()

    async def _audio(self, text: str, sound: Sound) -> AsyncGenerator[bytes, None]:
        voice = sound.voice or self._settings.voice_id
        language = language_code(self._settings, sound)
        told: dict[str, Any] = {"language_code": language} if language else {}
        pieces = self._client.text_to_speech.stream(
            in_path(voice),
            text=text,
            model_id=self._settings.model_id,
            output_format=self.format.name,
            **told,
            optimize_streaming_latency=self._latency,
        )
        with _engine_errors(key_variable(self._settings)):
            async with aclosing(cast(AsyncGenerator[bytes, None], pieces)):
                async for piece in pieces:
                    yield piece


@contextmanager
def _engine_errors(key_variable: str) -> Iterator[None]:
    """Turns the SDK's errors into ours. Bodies stay out of them: they may quote the text."""
    try:
        yield
    except ApiError as error:
        raise refused(error.status_code or 500, error.body, key_variable) from None
    except httpx.TimeoutException:
        raise EngineTimeout("tts", "no answer from ElevenLabs in time") from None
    except httpx.HTTPError as error:
        raise unreachable("tts", error) from None
