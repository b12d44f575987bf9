"""Decides every `auto`, and finds or demands everything that a chosen provider needs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from serve_app.errors import ConfigError
from serve_app.protocol.formats import (
    ELEVEN_LABS_FORMATS,
    NOT_OVER_WEBSOCKETS,
    AudioFormat,
    parse_format,
)
from serve_app.settings.agent import (
    ELEVEN_V3,
    REMOTE_ONLY,
    AgentSettings,
    LlmSettings,
    TtsSettings,
)
from serve_app.settings.base import PACKAGED
from serve_app.settings.packaged import DEFAULT_LLM
from serve_app.settings.schema import AppConfig, SttSettings

OPENAI_MODEL = "gpt-4.1-mini"
"""The default has no reasoning phase, which would be silence in a conversation."""
OUTPUT_FORMAT = "pcm_44100"
"""What Echo's example client plays."""

_KEYS = {"openai": "OPENAI_API_KEY", "elevenlabs": "ELEVEN_LABS_API_KEY"}
"""The variables with the keys of providers that take no request without one."""

S = TypeVar("S", LlmSettings, TtsSettings)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an engine's settings come from, for errors and for its key."""

    path: str
    variables: Mapping[str, str] = field(default_factory=dict)
    """By field, the environment variable that sets it."""
    key: str = ""
    """The variable with the key of a `generic` provider."""

    def name(self, field: str) -> str:
        return self.variables.get(field, f"{self.path}.{field}")

    def require(self, provider: str, is_missing: Mapping[str, bool]) -> None:
        for name, missing in is_missing.items():
            if missing:
                raise ConfigError(f"{self.name('provider')} is {provider}, but {name} is not set")


_LLM = _Place(
    "args.agent.llm",
    {
        "provider": "TEXT_GENERATION_PROVIDER",
        "api_url": "TEXT_GENERATION_API_URL",
        "model": "TEXT_GENERATION_MODEL",
    },
    "TEXT_GENERATION_API_KEY",
)
_TTS = _Place(
    "args.agent.tts",
    {
        "provider": "the voice",
        "api_url": "TEXT_TO_SPEECH_API_URL",
        "model": "TEXT_TO_SPEECH_MODEL",
        "voice": "TEXT_TO_SPEECH_VOICE",
    },
    "TEXT_TO_SPEECH_API_KEY",
)


def resolve(config: AppConfig, env: Mapping[str, str], gpus: float) -> AppConfig:
    """The same settings with every `auto` decided. `gpus`: how many the cluster has.

    Raises ConfigError when a chosen provider lacks its key or an address.
    """
    agent = _resolve_agent(config.agent, env)
    return config.model_copy(update={"stt": _resolve_stt(config.stt, gpus), "agent": agent})


def client_format(tts: TtsSettings) -> AudioFormat:
    """The client format: how the agent's voice is encoded for clients. Raises ConfigError."""
    try:
        return parse_format(tts.output_format or OUTPUT_FORMAT)
    except ValueError as error:
        raise ConfigError(f"ELEVEN_LABS_OUTPUT_FORMAT: {error}") from None


def _resolve_stt(stt: SttSettings, gpus: float) -> SttSettings:
    num_gpus = (1.0 if gpus >= 1 else 0.0) if stt.num_gpus == "auto" else stt.num_gpus
    return stt.model_copy(update={"num_gpus": num_gpus, "device": _device(stt.device, num_gpus)})


def _resolve_agent(agent: AgentSettings, env: Mapping[str, str]) -> AgentSettings:
    llm = agent.llm.model_copy(update={"provider": _llm_provider(agent.llm, env)})
    tts = agent.tts.model_copy(update={"provider": _tts_provider(agent.tts, env)})
    llms = _in_places(llm, _LLM, agent.llm_fallbacks, "args.agent.llm_fallbacks")
    voices = _in_places(tts, _TTS, agent.tts_fallbacks, "args.agent.tts_fallbacks")
    first_llm, *other_llms = (_resolve_llm(s, at, env, agent.num_gpus) for s, at in llms)
    first_voice, *other_voices = (_resolve_tts(s, at, env, tts.output_format) for s, at in voices)
    return agent.model_copy(
        update={
            "llm": first_llm,
            "llm_fallbacks": tuple(other_llms),
            "tts": first_voice,
            "tts_fallbacks": tuple(other_voices),
        }
    )


def _in_places(
    first: S, place: _Place, fallbacks: Sequence[S], path: str
) -> Iterator[tuple[S, _Place]]:
    yield first, place
    for number, fallback in enumerate(fallbacks):
        there = _Place(f"{path}.{number}")
        if fallback.provider == "auto":
            raise ConfigError(f"{there.name('provider')} is not set: a fall-back has no default")
        yield fallback, there


def _llm_provider(llm: LlmSettings, env: Mapping[str, str]) -> str:
    if llm.provider != "auto":
        return llm.provider
    return "openai" if env.get("OPENAI_API_KEY") else "generic" if llm.api_url else "local"


def _tts_provider(tts: TtsSettings, env: Mapping[str, str]) -> str:
    if tts.provider != "auto":
        return tts.provider
    if env.get("TEXT_TO_SPEECH_API_URL"):
        return "generic"
    return "elevenlabs" if env.get("ELEVEN_LABS_API_KEY") else "local"


def _resolve_llm(
    llm: LlmSettings, place: _Place, env: Mapping[str, str], gpus: float
) -> LlmSettings:
    llm = _with_key(llm, place, env)
    is_generic = llm.provider == "generic"
    missing = {
        place.name("api_url"): is_generic and not llm.api_url,
        place.name("model"): is_generic and not llm.model,
    }
    place.require(llm.provider, missing)
    if llm.provider == "local":
        _check_local_only(llm, place)
    return llm.model_copy(
        update={
            "model": _local_model(llm) if llm.provider == "local" else llm.model or OPENAI_MODEL,
            "api_url": _base_url(llm.api_url),
            "device": _device(llm.device, gpus),
        }
    )


def _check_local_only(llm: LlmSettings, place: _Place) -> None:
    default = LlmSettings()
    for name in REMOTE_ONLY:
        if getattr(llm, name) != getattr(default, name):
            raise ConfigError(f"{place.name(name)} is set, but the local model has no such setting")


def _local_model(llm: LlmSettings) -> str:
    return DEFAULT_LLM if llm.model in ("", PACKAGED) else llm.model


def _resolve_tts(
    tts: TtsSettings, place: _Place, env: Mapping[str, str], output_format: str
) -> TtsSettings:
    if tts.output_format not in ("", output_format):
        raise ConfigError(
            f"{place.name('output_format')}: leave it out: clients receive one format, that of"
            " args.agent.tts"
        )
    tts = _with_key(tts, place, env).model_copy(update={"output_format": output_format})
    if tts.provider in ("openai", "generic"):
        missing = {
            place.name("api_url"): tts.provider == "generic" and not tts.api_url,
            place.name("model"): not tts.model,
            place.name("voice"): tts.voice == PACKAGED,
        }
        place.require(tts.provider, missing)
        tts = tts.model_copy(update={"api_url": _base_url(tts.api_url)})
    if tts.provider == "elevenlabs" and tts.model_id.startswith(ELEVEN_V3):
        tts = tts.model_copy(update={"transport": "http"})
    _check_codec(tts)
    return tts


def _with_key(settings: S, place: _Place, env: Mapping[str, str]) -> S:
    """Names the variable with the key. Raises ConfigError if a key is needed and not set."""
    provider, named = settings.provider, settings.api_key_variable
    if provider == "local":
        return settings
    variable = named or _KEYS.get(provider, place.key)
    is_needed = bool(named) or provider in _KEYS
    place.require(provider, {variable: is_needed and not env.get(variable)})
    return settings.model_copy(update={"api_key_variable": variable})


def _check_codec(tts: TtsSettings) -> None:
    """Raises ConfigError if the provider of a resolved voice does not have the client format."""
    wanted = client_format(tts)
    if wanted.is_pcm:
        return
    found = f"ELEVEN_LABS_OUTPUT_FORMAT is {wanted.name}, but"
    if tts.provider == "local":
        raise ConfigError(f"{found} the local voice speaks pcm only (such as pcm_44100)")
    if tts.provider != "elevenlabs":
        if wanted.codec not in ("mp3", "opus"):
            raise ConfigError(f"{found} the {tts.provider} voice speaks pcm, mp3 and opus only")
        if tts.response_format not in ("auto", wanted.codec):
            raise ConfigError(f"{found} response_format is {tts.response_format}: leave it out")
        return
    if wanted.name not in ELEVEN_LABS_FORMATS:
        raise ConfigError(f"{found} ElevenLabs has no such format (take mp3_44100_128)")
    if wanted.name in NOT_OVER_WEBSOCKETS and tts.transport != "http":
        raise ConfigError(f"{found} ElevenLabs has it over HTTP only (tts.transport: http)")


def _device(device: str, gpus: float) -> str:
    return ("cuda" if gpus else "cpu") if device == "auto" else device


def _base_url(url: str) -> str:
    """From a host, a base URL with /v1 or a whole endpoint: Echo's users give all three."""
    url = url.rstrip("/").removesuffix("/chat/completions").removesuffix("/audio/speech")
    return url if not url or urlsplit(url).path else f"{url}/v1"
