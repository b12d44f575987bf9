"""ElevenLabs' voices over their streaming WebSocket."""

import asyncio
import base64
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

from elevenlabs.types import AudioOutput, CloseConnection, InitializeConnection, SendText
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.uri import parse_uri

from serve_app.config import TtsSettings
from serve_app.engines.base import Speech, TtsEngine
from serve_app.engines.elevenlabs_progress import Message, Progress
from serve_app.errors import ConfigError, EngineError, EngineTimeout, EngineUnavailable
from serve_app.protocol.formats import AudioFormat

_OPEN_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 0.2
"""An interrupted reply does not wait longer for ElevenLabs to say goodbye."""
_INACTIVITY_S = 180
"""The longest that ElevenLabs offers; our own deadlines are shorter. Its default is 20 s."""
_MAX_MESSAGE_BYTES = 8 * 2**20
"""One minute of pcm_44100 in base64; without alignment a whole clause is one message."""
_BUSY = {"too_many_concurrent_requests", "system_busy", "rate_limit_exceeded"}
_SAFE_CODE = re.compile(r"[\w.-]{1,64}", re.ASCII)
_SCHEMES = {"http": "ws", "https": "wss"}

_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.INFO)
"""At DEBUG websockets would log the API key and everything that is said."""


class ElevenLabsVoice(TtsEngine):
    """One `stream-input` socket a reply, opened before the first clause is written.

    The SDK (2.78) has realtime synthesis for blocking code only, where it looks for audio
    between two pieces of text; so this is a client of its own that sends the SDK's messages.
    """

    def __init__(self, settings: TtsSettings, api_key: str, format: AudioFormat) -> None:
        """`format` is what ElevenLabs is asked for. Raises ConfigError for a bad address."""
        self.format = format
        self._settings = settings
        self._url("")
        self._key = api_key
        self._timeout_s = settings.first_audio_timeout_s

    async def speak(
        self, clauses: AsyncIterator[str], voice: str = ""
    ) -> AsyncGenerator[Speech, None]:
        """See TtsEngine; `voice` is a voice id of ElevenLabs.

        Raises EngineTimeout when text waits `first_audio_timeout_s` for audio, at the start
        or later, EngineUnavailable, or EngineError for a refusal.
        """
        progress = Progress(self.format)
        with _engine_errors():
            async with self._connect(voice) as socket:
                sender = asyncio.create_task(_send(clauses, socket, progress))
                try:
                    while not progress.finished:
                        message = await self._next_message(socket, sender, progress)
                        if speech := progress.heard(message):
                            yield speech
                finally:
                    sender.cancel()
                    await asyncio.gather(sender, return_exceptions=True)

    async def aclose(self) -> None:
        """Nothing is kept between replies."""

    def _url(self, voice: str) -> str:
        return _url(self._settings, voice or self._settings.voice_id, self.format)

    def _connect(self, voice: str) -> connect:
        return _NoRedirects(
            self._url(voice),
            additional_headers={"xi-api-key": self._key},
            compression=None,  # base64 of audio does not get smaller
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=_MAX_MESSAGE_BYTES,
            logger=_wire_log,
        )

    async def _next_message(
        self, socket: ClientConnection, sender: "asyncio.Task[None]", progress: Progress
    ) -> Message:
        """Waits as long as there is nothing to say, and `first_audio_timeout_s` when there is."""
        clock = asyncio.get_running_loop().time
        started = clock()
        while True:
            since = progress.waiting_since
            # Nothing is due while the caller pauses, or before text is sent, which may happen
            # during this very wait: its deadline is then looked at in the next round.
            due = max(started, since or clock()) + self._timeout_s
            try:
                async with asyncio.timeout_at(due):
                    message = _parse(await socket.recv())
                if message.audio or message.is_final:
                    return message
            except TimeoutError:
                if since is not None:
                    raise EngineTimeout("tts", f"no audio for {self._timeout_s:g} s") from None
            except ConnectionClosed as closed:
                if sender.done() and (failure := sender.exception()):
                    raise failure from None
                return _last_message(closed, progress)


class _NoRedirects(connect):
    """A redirect would take the API key to another host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _send(clauses: AsyncIterator[str], socket: ClientConnection, progress: Progress) -> None:
    try:
        await socket.send(InitializeConnection().json())
        async for clause in clauses:
            progress.put(clause)
            if any(map(str.isalnum, clause)):  # symbols alone make strange noises
                await socket.send(SendText(text=f"{clause.strip()} ").json())
        progress.end()
        await socket.send(CloseConnection().json())
    except ConnectionClosed:
        pass  # the receiver knows why
    except Exception:
        socket.transport.abort()  # wakes the receiver, who raises this
        raise


def _url(settings: TtsSettings, voice_id: str, format: AudioFormat) -> str:
    query = {
        "model_id": settings.model_id,
        "output_format": format.name,
        "optimize_streaming_latency": settings.optimize_streaming_latency,
        "auto_mode": "true",  # speak each clause at once: by default 120 characters are awaited
        "sync_alignment": "true",
        "inactivity_timeout": _INACTIVITY_S,
    }
    path = f"/v1/text-to-speech/{quote(voice_id, safe='')}/stream-input"
    scheme, _, rest = settings.api_url.rstrip("/").partition("://")
    url = f"{_SCHEMES.get(scheme, scheme)}://{rest}{path}?{urlencode(query)}"
    try:
        parse_uri(url)
    except (InvalidURI, ValueError):
        raise ConfigError(
            "ELEVEN_LABS_API_URL must look like wss://api.elevenlabs.io or http://localhost:8080"
        ) from None
    return url


def _parse(raw: str | bytes) -> Message:
    """Raises EngineError for ElevenLabs' own errors, ValueError for what makes no sense."""
    data = json.loads(raw)
    if not isinstance(data, dict):
        raise ValueError("not an object")
    if data.get("error") or ("message" in data and "audio" not in data):
        raise _provider_error(data)
    is_final = bool(data.get("isFinal") or data.get("is_final"))
    if not data.get("audio"):
        return Message(is_final=is_final)
    output = AudioOutput.model_validate(data)
    chars = output.alignment.chars if output.alignment else None
    return Message(
        base64.b64decode(output.audio, validate=True),
        None if chars is None else "".join(chars),
        is_final,
    )


def _provider_error(data: dict[str, Any]) -> EngineError:
    """Only the error's code: the message may quote the text."""
    code = str(data.get("error") or data.get("code") or "")
    shown = code if _SAFE_CODE.fullmatch(code) else "without a code"
    if code in _BUSY:
        return EngineUnavailable("tts", f"ElevenLabs is busy ({shown})")
    return EngineError("tts", f"ElevenLabs reported an error ({shown})")


def _last_message(closed: ConnectionClosed, progress: Progress) -> Message:
    """A normal close after all text ends the reply as `isFinal` does; others are errors."""
    code = closed.rcvd.code if closed.rcvd else 1006
    if code == 1000 and progress.has_all_text:
        return Message(is_final=True)
    if code == 1008:
        raise _provider_error({"error": closed.rcvd.reason if closed.rcvd else ""}) from None
    raise EngineUnavailable("tts", f"ElevenLabs closed the connection ({code})") from None


@contextmanager
def _engine_errors() -> Iterator[None]:
    try:
        yield
    except InvalidStatus as error:
        raise _refusal(error.response.status_code) from None
    except TimeoutError:
        raise EngineTimeout("tts", "no connection to ElevenLabs in time") from None
    except (OSError, InvalidHandshake) as error:
        raise EngineUnavailable("tts", type(error).__name__) from None
    except ValueError as error:
        raise EngineError("tts", f"bad answer ({type(error).__name__})", True) from None


def _refusal(status: int) -> EngineError:
    if status in (401, 403):
        return EngineError("tts", f"HTTP {status}: check ELEVEN_LABS_API_KEY")
    if status in (408, 429) or status >= 500:
        return EngineUnavailable("tts", f"HTTP {status}")
    return EngineError("tts", f"HTTP {status}")
