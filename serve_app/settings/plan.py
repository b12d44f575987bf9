"""The plan that resolved settings make: which engine, model and device each stage runs, which
models have to be fetched for it, and what clients may ask of it."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from serve_app.errors import ProtocolViolation
from serve_app.protocol.languages import AUTO, ENGLISH, LANGUAGES, language_code
from serve_app.protocol.messages import Open
from serve_app.settings.agent import ELEVEN_V3, JOE, LlmSettings, TtsSettings
from serve_app.settings.base import PACKAGED
from serve_app.settings.packaged import LLMS, is_gguf
from serve_app.settings.resolve import client_format, resolve
from serve_app.settings.schema import WHISPER_BASE, WHISPER_TINY_EN, AppConfig
from serve_app.settings.shown import shown_url

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


def stages(config: AppConfig) -> list[StagePlan]:
    """The plan of a resolved configuration: a row for each stage and each fall-back."""
    stt, agent = config.stt, config.agent
    vad = "silero-vad 6 + smart-turn 3.2" if config.vad.end_of_turn == PACKAGED else "silero-vad 6"
    return [
        StagePlan("vad", "silero (onnx)", vad, "cpu", config.vad.replicas),
        StagePlan(
            "stt", "transformers", _shown(stt.model, WHISPER_TINY_EN), stt.device, stt.replicas
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
        WHISPER_TINY_EN: config.stt.fetched_model == WHISPER_TINY_EN,
        WHISPER_BASE: config.stt.fetched_model == WHISPER_BASE,
        **{name: name in llms for name in LLMS},
        JOE: JOE in voices,
    }
    return [name for name, is_needed in needed.items() if is_needed]


def default_models() -> list[str]:
    """The same for a server without settings and keys."""
    return packaged_models(resolve(AppConfig(), {}, gpus=0))


def checked_options(config: AppConfig, message: Open, languages: Collection[str]) -> Open:
    """The message, with its language as a code. `languages`: the codes that the transcribers know.
    Raises ProtocolViolation if the resolved engines cannot do what a client asks for."""
    if message.voice and config.agent.tts.provider == "local":
        raise ProtocolViolation("open: 'voice': the local voice is the only one here")
    if message.sample_rate_hz and not client_format(config.agent.tts).is_pcm:
        raise ProtocolViolation("open: 'sample_rate_hz': the voice here is not pcm")
    if message.tools and not config.agent.may_use_tools:
        raise ProtocolViolation("open: 'tools': the local chat model cannot use tools")
    language = message.language or config.stt.language
    return replace(message, language=_checked_language(language, languages))


def _checked_language(language: str, languages: Collection[str]) -> str:
    code = language_code(language)
    if code in (AUTO, *languages):
        return ENGLISH if list(languages) == [ENGLISH] else code
    if list(languages) == [ENGLISH]:
        raise ProtocolViolation(
            "open: 'language': the model here knows 'en' only: set args.stt.model to"
            f" {WHISPER_BASE}"
        )
    # The most used ones first, because a close reason is cut after 123 bytes.
    known = ", ".join(known for known in LANGUAGES if known in languages)
    raise ProtocolViolation(
        f"open: 'language': {ascii(language)[:20]} is not known here; known are {AUTO}, {known}"
    )


def _chain(stage: str, engines: Iterable[_Engine], replicas: int) -> Iterator[StagePlan]:
    for number, engine in enumerate(engines, 1):
        yield StagePlan(f"{stage} {number}" if number > 1 else stage, *engine, replicas)


def _chat(llm: LlmSettings) -> _Engine:
    if llm.provider == "local":
        engine = "llama.cpp" if is_gguf(llm.model) else "transformers"
        title = f"{LLMS[llm.model]} (packaged)" if llm.model in LLMS else llm.model
        return engine, title, llm.device
    return f"openai api, {shown_url(llm.api_url) or 'api.openai.com'}", llm.model, "provider"


def _speech(tts: TtsSettings) -> _Engine:
    if tts.provider == "local":
        engine = "hibari (onnx)" if tts.voice == PACKAGED else "piper (onnx)"
        return engine, _shown(tts.voice, "heart"), "cpu"
    if tts.provider == "elevenlabs":
        if tts.model_id.startswith(ELEVEN_V3):
            model = f"{tts.model_id} (no WebSocket), voice {tts.voice_id}"
            return "elevenlabs (http)", model, "provider"
        return "elevenlabs", f"{tts.model_id}, voice {tts.voice_id}", "provider"
    host = shown_url(tts.api_url) or "api.openai.com"
    return f"openai api, {host}", f"{tts.model}, voice {tts.voice}", "provider"


def _shown(model: str, packaged: str) -> str:
    return f"{packaged} (packaged)" if model == PACKAGED else model
