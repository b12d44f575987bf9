"""What all transports to ElevenLabs share: addresses, messages, errors."""

import base64
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import quote, urlencode

from elevenlabs.types import AudioOutput
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.uri import parse_uri

from serve_app.agent.http_refusals import unreachable
from serve_app.agent.tts.elevenlabs.refusals import refused, reported
from serve_app.agent.tts.speech_progress import ProviderMessage
from serve_app.conversation.sound import Sound
from serve_app.errors import (
    ConfigError,
    EngineError,
    EngineTimeout,
    EngineUnavailable,
)
from serve_app.protocol.formats import AudioFormat
from serve_app.settings.agent import TtsSettings

API_URL = "wss://api.elevenlabs.io"
INACTIVITY_S = 180
"""The longest that ElevenLabs offers; its default is 20 s. Our own deadlines are shorter."""
_OPEN_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 0.2
"""How long an interrupted reply waits for ElevenLabs' closing frame."""
_MAX_MESSAGE_BYTES = 8 * 2**20
"""A minute of pcm_44100 in base64. Without alignment a whole clause is one message."""
_TOLD_LANGUAGE = ("eleven_turbo_v2_5", "eleven_flash_v2_5")
"""Without it, they may take a short text for another language."""
_THEIR_LANGUAGES = {
    "ar", "bg", "cs", "da", "de", "el", "en", "es", "fi", "fil", "fr", "hi", "hr", "hu",
    "id", "it", "ja", "ko", "ms", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sv", "ta",
    "tr", "uk", "vi", "zh",
}  # fmt: skip
"""Those of these models (docs.livekit.io, models/tts/inference/elevenlabs). Another code would be
an error, and what was found out from one utterance may be wrong."""
_OTHER_CODES = {"tl": "fil", "nn": "no"}
"""Whisper's for two of them."""
_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}

_log = logging.getLogger(__name__)
_log.setLevel(logging.INFO)
"""At DEBUG, websockets would log the API key and everything that is said."""


class Connect(connect):
    """Connects when it is entered with `async with`."""

    def __init__(self, url: str, api_key: str, key_variable: str) -> None:
        self.key_variable = key_variable
        super().__init__(
            url,
            additional_headers={"xi-api-key": api_key},
            compression=None,  # base64 of audio hardly gets smaller
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=_MAX_MESSAGE_BYTES,
            logger=_log,
        )

    def process_redirect(self, exc: Exception) -> Exception | str:
        """A redirect would take the API key to another host."""
        return exc


def key_variable(settings: TtsSettings) -> str:
    """The variable with the key, for errors."""
    return settings.api_key_variable or "ELEVEN_LABS_API_KEY"


def websocket_url(
    settings: TtsSettings,
    endpoint: Literal["stream-input", "multi-stream-input"],
    sound: Sound,
    format: AudioFormat,
) -> str:
    """`sound.voice` is a voice id; empty means the one in the settings. Raises ConfigError, and
    EngineError for what is no voice."""
    query = {
        "model_id": settings.model_id,
        "output_format": format.name,
        "optimize_streaming_latency": settings.optimize_streaming_latency,
        "auto_mode": "true",  # speak each clause at once; the default is to wait for 120 characters
        "sync_alignment": "true",
        "inactivity_timeout": INACTIVITY_S,
    }
    if language := language_code(settings, sound):
        query["language_code"] = language
    path = f"/v1/text-to-speech/{in_path(sound.voice or settings.voice_id)}/{endpoint}"
    scheme, _, rest = (settings.api_url or API_URL).rstrip("/").partition("://")
    url = f"{_WEBSOCKET_SCHEMES.get(scheme, scheme)}://{rest}{path}?{urlencode(query)}"
    try:
        parse_uri(url)
    except (InvalidURI, ValueError):
        raise ConfigError(
            "ELEVEN_LABS_API_URL must look like wss://api.elevenlabs.io or http://localhost:8080"
        ) from None
    return url


def in_path(voice: str) -> str:
    """A voice id, which clients choose, as one segment of a path. Raises EngineError for `.` and
    `..`, which are none however they are written."""
    if voice in (".", ".."):
        raise EngineError("tts", "there is no such voice")
    return quote(voice, safe="")


def language_code(settings: TtsSettings, sound: Sound) -> str:
    """The language that the model has to be told; empty if it does not know that, and for models
    that find it out or have one. They refuse it."""
    language = _OTHER_CODES.get(sound.language, sound.language)
    is_told = settings.model_id in _TOLD_LANGUAGE and language in _THEIR_LANGUAGES
    return language if is_told else ""


def spoken(clause: str) -> str:
    """A clause as ElevenLabs wants it; empty if it is only symbols, which make strange noises."""
    return f"{clause.strip()} " if any(map(str.isalnum, clause)) else ""


def decode(raw: str | bytes) -> dict[str, Any]:
    """Raises ValueError if it is not a JSON object."""
    data = json.loads(raw)
    if not isinstance(data, dict):
        raise ValueError("not an object")
    return data


def error_in(data: dict[str, Any], key_variable: str) -> EngineError | None:
    """The error in a message, if there is one."""
    if data.get("error") or ("message" in data and "audio" not in data):
        code = str(data.get("error") or data.get("code") or "")
        return reported(code, key_variable, str(data.get("message") or ""))
    return None


def read(data: dict[str, Any]) -> ProviderMessage:
    """A message without an error. Raises ValueError if it is malformed."""
    is_final = bool(data.get("isFinal") or data.get("is_final"))
    if not data.get("audio"):
        return ProviderMessage(is_final=is_final)
    output = AudioOutput.model_validate(data)
    chars = output.alignment.chars if output.alignment else None
    return ProviderMessage(
        base64.b64decode(output.audio, validate=True),
        None if chars is None else "".join(chars),
        is_final,
    )


def closed_by(closed: ConnectionClosed, key_variable: str) -> EngineError:
    """Why ElevenLabs closed the connection."""
    if closed.rcvd and closed.rcvd.code == 1008:
        return reported(closed.rcvd.reason, key_variable)
    code = closed.rcvd.code if closed.rcvd else 1006
    return EngineUnavailable("tts", f"ElevenLabs closed the connection ({code})")


def bad_answer(error: ValueError) -> EngineError:
    """For an answer that does not follow the protocol."""
    return EngineError("tts", f"bad answer ({type(error).__name__})", retryable=True)


@contextmanager
def engine_errors(key_variable: str) -> Iterator[None]:
    """Turns the library's errors into ours. `key_variable` is where the user has put the key."""
    try:
        yield
    except InvalidStatus as error:
        raise refused(error.response.status_code, error.response.body, key_variable) from None
    except ConnectionClosed as closed:
        raise closed_by(closed, key_variable) from None
    except TimeoutError:
        raise EngineTimeout("tts", "no connection to ElevenLabs in time") from None
    except (OSError, InvalidHandshake) as error:
        raise unreachable("tts", error) from None
    except ValueError as error:
        raise bad_answer(error) from None
