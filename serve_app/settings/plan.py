"""Settings from file and environment, and the plan that is made of them: which engine, model and
device each stage runs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from serve_app.errors import ConfigError, ProtocolViolation
from serve_app.protocol.codec import BAD_MESSAGE
from serve_app.protocol.messages import Open
from serve_app.settings.resolve import client_format
from serve_app.settings.schema import PACKAGED, AppConfig, LlmSettings, TtsSettings

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


_Engine = tuple[str, str, str]
"""Engine, model and device, as they are shown."""


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


def stages(config: AppConfig) -> list[StagePlan]:
    """The plan of a resolved configuration: a row for each stage, and for each fall-back."""
    stt, agent = config.stt, config.agent
    vad = "silero-vad 6 + smart-turn 3.2" if config.vad.end_of_turn == PACKAGED else "silero-vad 6"
    return [
        StagePlan("vad", "silero (onnx)", vad, "cpu", config.vad.replicas),
        StagePlan(
            "stt", "transformers", _shown(stt.model, "whisper-tiny.en"), stt.device, stt.replicas
        ),
        *_chain("llm", map(_chat, agent.llms), agent.replicas),
        *_chain("tts", map(_speech, agent.voices), agent.replicas),
    ]


def packaged_models(config: AppConfig) -> list[str]:
    """Names in models.json that a resolved configuration needs."""
    llms = [llm.model for llm in config.agent.llms if llm.provider == "local"]
    voices = [tts.voice for tts in config.agent.voices if tts.provider == "local"]
    needed = {
        "smart-turn-v3.2": config.vad.end_of_turn == PACKAGED,
        "whisper-tiny.en": config.stt.model == PACKAGED,
        "smollm2-135m-instruct": PACKAGED in llms,
        "piper-en-us-joe": PACKAGED in voices,
    }
    return [name for name, is_needed in needed.items() if is_needed]


def check_options(config: AppConfig, message: Open) -> None:
    """Whether the resolved engines can do what a client asks for. Raises ProtocolViolation."""
    if message.voice and config.agent.tts.provider == "local":
        raise ProtocolViolation(BAD_MESSAGE, "open: 'voice': the local voice is the only one here")
    if message.sample_rate_hz and not client_format(config.agent.tts).is_pcm:
        raise ProtocolViolation(BAD_MESSAGE, "open: 'sample_rate_hz': the voice here is not pcm")
    speaks_english_only = config.stt.model == PACKAGED or config.stt.model.endswith(".en")
    if message.language not in ("", "en") and speaks_english_only:
        raise ProtocolViolation(BAD_MESSAGE, "open: 'language': the model here knows 'en' only")


def _chain(stage: str, engines: Iterable[_Engine], replicas: int) -> Iterator[StagePlan]:
    for number, engine in enumerate(engines, 1):
        yield StagePlan(f"{stage} {number}" if number > 1 else stage, *engine, replicas)


def _chat(llm: LlmSettings) -> _Engine:
    if llm.provider == "local":
        return "transformers", _shown(llm.model, "SmolLM2-135M-Instruct"), llm.device
    return f"openai api, {llm.api_url or 'api.openai.com'}", llm.model, "provider"


def _speech(tts: TtsSettings) -> _Engine:
    if tts.provider == "local":
        return "piper (onnx)", _shown(tts.voice, "en_US-joe-medium"), "cpu"
    if tts.provider == "elevenlabs":
        return "elevenlabs", f"{tts.model_id}, voice {tts.voice_id}", "provider"
    host = tts.api_url or "api.openai.com"
    return f"openai api, {host}", f"{tts.model}, voice {tts.voice}", "provider"


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
