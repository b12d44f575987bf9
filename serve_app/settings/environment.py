"""Settings from a file's `args` and the environment variables that win over them."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from serve_app.errors import ConfigError
from serve_app.settings.schema import AppConfig
from serve_app.settings.shown import shown_value

_PROVIDER_NAMES = {"bumblebee": "local", "transformers": "local"}
"""Echo's name for a model in the server, and that of the library that runs it here."""
_ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "ECHO_KEYS_FILE": ("access", "keys_file"),
    "TEXT_GENERATION_PROVIDER": ("agent", "llm", "provider"),
    "TEXT_GENERATION_MODEL": ("agent", "llm", "model"),
    "TEXT_GENERATION_API_URL": ("agent", "llm", "api_url"),
    "TEXT_GENERATION_MAX_NEW_TOKENS": ("agent", "llm", "max_new_tokens"),
    "TEXT_GENERATION_MAX_SEQUENCE_LENGTH": ("agent", "llm", "max_sequence_length"),
    "SPEECH_TO_TEXT_MODEL": ("stt", "model"),
    "TEXT_TO_SPEECH_PROVIDER": ("agent", "tts", "provider"),
    "TEXT_TO_SPEECH_MODEL": ("agent", "tts", "model"),
    "TEXT_TO_SPEECH_VOICE": ("agent", "tts", "voice"),
    "ELEVEN_LABS_API_URL": ("agent", "tts", "api_url"),
    "TEXT_TO_SPEECH_API_URL": ("agent", "tts", "api_url"),
    "ELEVEN_LABS_VOICE_ID": ("agent", "tts", "voice_id"),
    "ELEVEN_LABS_MODEL_ID": ("agent", "tts", "model_id"),
    "ELEVEN_LABS_OPTIMIZE_STREAMING_LATENCY": ("agent", "tts", "optimize_streaming_latency"),
    "ELEVEN_LABS_OUTPUT_FORMAT": ("agent", "tts", "output_format"),
}
"""By variable, the setting that it sets: Echo's variables, and ours where Echo has none. A variable
that is set and not empty wins over the file. Where two are for one setting, the last one wins."""


def load(args: Mapping[str, Any], env: Mapping[str, str]) -> AppConfig:
    """Settings from a file's `args`, with the environment variables on top.

    Raises ConfigError: one line that names the key or the variable, and says what is wrong with it.
    """
    merged = _deep_copy(args)
    origin: dict[tuple[str, ...], str] = {}
    for variable, path in _ENVIRONMENT.items():
        if value := env.get(variable, "").strip():
            _put(merged, path, _PROVIDER_NAMES.get(value, value))
            origin[path] = variable
    try:
        return AppConfig.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_one_line(error, origin)) from None


def _deep_copy(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _deep_copy(v) if isinstance(v, Mapping) else v for k, v in tree.items()}


def _put(tree: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    *parents, key = path
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[key] = value


def _one_line(error: ValidationError, origin: Mapping[tuple[str, ...], str]) -> str:
    first = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in first["loc"])
    name = origin.get(path, "args." + ".".join(path))
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{name} is not a setting: check its spelling and its place in the file"
    value = shown_value(path[-1] if path else "", first["input"])
    return f"{name}: {first['msg']}" + (f" (found {value})" if value else "")
