"""From settings and environment to the plan: which engine, model and device each stage runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from serve_app.config import PACKAGED, AppConfig, LlmSettings, SttSettings, TtsSettings
from serve_app.errors import ConfigError, ProtocolViolation
from serve_app.protocol.codec import BAD_MESSAGE
from serve_app.protocol.formats import (
    ELEVEN_LABS_FORMATS,
    NOT_OVER_WEBSOCKETS,
    AudioFormat,
    parse_format,
)
from serve_app.protocol.messages import Open
from serve_app.tools.factory import check_tools

OPENAI_MODEL = "gpt-4.1-mini"
"""A default without a reasoning phase: that would be silence in a conversation."""
OUTPUT_FORMAT = "pcm_44100"
"""What Echo's example client plays."""

_PROVIDER_NAMES = {"bumblebee": "local", "transformers": "local"}
"""Echo's name for an in-server model, and ours."""
_ENVIRONMENT: dict[str, tuple[str, ...]] = {
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
"""Echo's variables, and ours where Echo has none. Each one that is set and not empty wins over
the file; the last one wins where two are for the same setting."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One line of the plan that is printed at start."""

    stage: str
    engine: str
    model: str
    device: str
    replicas: int


def load(args: Mapping[str, Any], env: Mapping[str, str]) -> AppConfig:
    """Settings from a file's `args` with the environment on top.

    Raises ConfigError: one line that names the key or the variable and what is wrong with it.
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


def resolve(config: AppConfig, env: Mapping[str, str], gpus: float) -> AppConfig:
    """The same settings with every `auto` decided. `gpus`: what the cluster has.

    Raises ConfigError when a chosen provider lacks its key or an address, and for tools that
    cannot be used.
    """
    agent = config.agent.model_copy(
        update={
            "llm": _resolve_llm(config.agent.llm, env, config.agent.num_gpus),
            "tts": _resolve_tts(config.agent.tts, env),
        }
    )
    check_tools(agent, env)
    return config.model_copy(
        update={
            "stt": _resolve_stt(config.stt, gpus),
            "agent": agent,
        }
    )


def stages(config: AppConfig) -> list[StagePlan]:
    """The plan of a resolved configuration, one row a stage."""
    stt, agent = config.stt, config.agent
    llm, tts = agent.llm, agent.tts
    speech = ("elevenlabs", f"{tts.model_id}, voice {tts.voice_id}", "provider")
    if tts.provider == "local":
        speech = ("piper (onnx)", _shown(tts.voice, "en_US-joe-medium"), "cpu")
    elif tts.provider != "elevenlabs":
        host = tts.api_url or "api.openai.com"
        speech = (f"openai api, {host}", f"{tts.model}, voice {tts.voice}", "provider")
    chat = (f"openai api, {llm.api_url or 'api.openai.com'}", llm.model, "provider")
    if llm.provider == "local":
        chat = ("transformers", _shown(llm.model, "SmolLM2-135M-Instruct"), llm.device)
    vad = "silero-vad 6 + smart-turn 3.2" if config.vad.end_of_turn == PACKAGED else "silero-vad 6"
    return [
        StagePlan("vad", "silero (onnx)", vad, "cpu", config.vad.replicas),
        StagePlan(
            "stt", "transformers", _shown(stt.model, "whisper-tiny.en"), stt.device, stt.replicas
        ),
        StagePlan("llm", *chat, agent.replicas),
        StagePlan("tts", *speech, agent.replicas),
    ]


def wire_format(tts: TtsSettings) -> AudioFormat:
    """The encoding of the agent's voice that clients receive."""
    try:
        return parse_format(tts.output_format or OUTPUT_FORMAT)
    except ValueError as error:
        raise ConfigError(f"ELEVEN_LABS_OUTPUT_FORMAT: {error}") from None


def packaged_models(config: AppConfig) -> list[str]:
    """Names in models.json that a resolved configuration needs."""
    llm, tts = config.agent.llm, config.agent.tts
    needed = {
        "smart-turn-v3.2": config.vad.end_of_turn == PACKAGED,
        "whisper-tiny.en": config.stt.model == PACKAGED,
        "smollm2-135m-instruct": llm.provider == "local" and llm.model == PACKAGED,
        "piper-en-us-joe": tts.provider == "local" and tts.voice == PACKAGED,
    }
    return [name for name, is_needed in needed.items() if is_needed]


def check_options(config: AppConfig, message: Open) -> None:
    """Whether the resolved engines can do what a client asks for. Raises ProtocolViolation."""
    if message.voice and config.agent.tts.provider == "local":
        raise ProtocolViolation(BAD_MESSAGE, "open: 'voice': the local voice is the only one here")
    speaks_english_only = config.stt.model == PACKAGED or config.stt.model.endswith(".en")
    if message.language not in ("", "en") and speaks_english_only:
        raise ProtocolViolation(BAD_MESSAGE, "open: 'language': the model here knows 'en' only")


def _resolve_stt(stt: SttSettings, gpus: float) -> SttSettings:
    num_gpus = (1.0 if gpus >= 1 else 0.0) if stt.num_gpus == "auto" else stt.num_gpus
    return stt.model_copy(update={"num_gpus": num_gpus, "device": _device(stt.device, num_gpus)})


def _resolve_llm(llm: LlmSettings, env: Mapping[str, str], gpus: float) -> LlmSettings:
    provider = llm.provider
    if provider == "auto":
        provider = "openai" if env.get("OPENAI_API_KEY") else "generic" if llm.api_url else "local"
    if provider == "openai" and not env.get("OPENAI_API_KEY"):
        raise ConfigError("TEXT_GENERATION_PROVIDER is openai, but OPENAI_API_KEY is not set")
    if provider == "generic" and not llm.api_url:
        raise ConfigError(
            "TEXT_GENERATION_PROVIDER is generic, but TEXT_GENERATION_API_URL is not set"
        )
    if provider == "generic" and not llm.model:
        raise ConfigError(
            "TEXT_GENERATION_PROVIDER is generic, but TEXT_GENERATION_MODEL is not set"
        )
    return llm.model_copy(
        update={
            "provider": provider,
            "model": llm.model or (PACKAGED if provider == "local" else OPENAI_MODEL),
            "api_url": _base_url(llm.api_url),
            "device": _device(llm.device, gpus),
        }
    )


def _resolve_tts(tts: TtsSettings, env: Mapping[str, str]) -> TtsSettings:
    provider = tts.provider
    if provider == "auto":
        provider = "elevenlabs" if env.get("ELEVEN_LABS_API_KEY") else "local"
        if env.get("TEXT_TO_SPEECH_API_URL"):
            provider = "generic"
    if provider == "elevenlabs" and not env.get("ELEVEN_LABS_API_KEY"):
        raise ConfigError("the voice is elevenlabs, but ELEVEN_LABS_API_KEY is not set")
    resolved = tts.model_copy(update={"provider": provider})
    if provider in ("openai", "generic"):
        resolved = _resolve_openai_speech(resolved, env)
    _check_codec(resolved)
    return resolved


def _resolve_openai_speech(tts: TtsSettings, env: Mapping[str, str]) -> TtsSettings:
    missing = {
        "OPENAI_API_KEY": tts.provider == "openai" and not env.get("OPENAI_API_KEY"),
        "TEXT_TO_SPEECH_API_URL": tts.provider == "generic" and not tts.api_url,
        "TEXT_TO_SPEECH_MODEL": not tts.model,
        "TEXT_TO_SPEECH_VOICE": tts.voice == PACKAGED,
    }
    for variable, is_missing in missing.items():
        if is_missing:
            raise ConfigError(f"the voice is {tts.provider}, but {variable} is not set")
    return tts.model_copy(update={"api_url": _base_url(tts.api_url)})


def _check_codec(tts: TtsSettings) -> None:
    """Whether the provider of a resolved voice has the format of the wire."""
    wire = wire_format(tts)
    if wire.is_pcm:
        return
    found = f"ELEVEN_LABS_OUTPUT_FORMAT is {wire.name}, but"
    if tts.provider == "local":
        raise ConfigError(f"{found} the local voice speaks pcm only (such as pcm_44100)")
    if tts.provider != "elevenlabs":
        if wire.codec not in ("mp3", "opus"):
            raise ConfigError(f"{found} the {tts.provider} voice speaks pcm, mp3 and opus only")
        return
    if wire.name not in ELEVEN_LABS_FORMATS:
        raise ConfigError(f"{found} ElevenLabs has no such format (take mp3_44100_128)")
    if wire.name in NOT_OVER_WEBSOCKETS and tts.transport != "http":
        raise ConfigError(f"{found} ElevenLabs has it over HTTP only (tts.transport: http)")


def _device(device: str, gpus: float) -> str:
    return ("cuda" if gpus else "cpu") if device == "auto" else device


def _base_url(url: str) -> str:
    """Echo's users give a host, a base URL with /v1 or the whole endpoint: all three work."""
    url = url.rstrip("/").removesuffix("/chat/completions").removesuffix("/audio/speech")
    return url if not url or urlsplit(url).path else f"{url}/v1"


def _shown(model: str, packaged: str) -> str:
    return f"{packaged} (packaged)" if model == PACKAGED else model


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
    return f"{name}: {first['msg']} (found {first['input']!r})"
