"""From settings to engines. To add a provider, add it here. Imports only what is chosen."""

import time
from collections.abc import Mapping, Sequence

from serve_app.agent.chain import Chain, E, Watcher
from serve_app.agent.engines import LlmEngine, TtsEngine
from serve_app.agent.llm.chain import LlmChain
from serve_app.agent.tts.chain import TtsChain
from serve_app.agent.tts.local_voice import LocalVoice, Synthesiser
from serve_app.protocol.formats import (
    ELEVEN_LABS_FORMATS,
    NOT_OVER_WEBSOCKETS,
    AudioFormat,
    parse_format,
)
from serve_app.settings.agent import AgentSettings, BreakerSettings, LlmSettings, TtsSettings
from serve_app.settings.base import PACKAGED
from serve_app.settings.packaged import is_gguf


def build_llm_chain(agent: AgentSettings, env: Mapping[str, str], watcher: Watcher) -> LlmChain:
    """The chat models of a resolved configuration. All are loaded now, even a local one in
    `llm_fallbacks`: a fall-over must not wait for that."""
    engines = [build_llm(settings, env) for settings in agent.llms]
    return LlmChain(_chain("llm", agent.llms, engines, agent.breaker, watcher))


def build_tts_chain(agent: AgentSettings, env: Mapping[str, str], watcher: Watcher) -> TtsChain:
    """The voices of a resolved configuration, all loaded now."""
    engines = [build_tts(settings, env) for settings in agent.voices]
    own_voices = [
        name
        for name, settings in zip(_names(agent.voices), agent.voices, strict=True)
        if settings.provider != agent.tts.provider
    ]
    return TtsChain(_chain("tts", agent.voices, engines, agent.breaker, watcher), own_voices)


def _chain(
    stage: str,
    settings: Sequence[LlmSettings | TtsSettings],
    engines: Sequence[E],
    breaker: BreakerSettings,
    watcher: Watcher,
) -> Chain[E]:
    named = dict(zip(_names(settings), engines, strict=True))
    return Chain(stage, named, breaker, watcher, time.monotonic)


def _names(settings: Sequence[LlmSettings | TtsSettings]) -> list[str]:
    """Place and provider, such as `1-openai`."""
    return [f"{number}-{one.provider}" for number, one in enumerate(settings, 1)]


def build_llm(settings: LlmSettings, env: Mapping[str, str]) -> LlmEngine:
    """A chat model of resolved settings, ready to run."""
    if settings.provider == "local":
        return _build_local_llm(settings)
    from serve_app.agent.llm.openai_chat import OpenAiChat

    return OpenAiChat(settings, env.get(settings.api_key_variable, ""))


def _build_local_llm(settings: LlmSettings) -> LlmEngine:
    if is_gguf(settings.model):
        from serve_app.agent.llm.local.llama_cpp import LlamaCpp

        return LlamaCpp(settings)
    from serve_app.agent.llm.local.transformers_chat import TransformersLlm

    llm = TransformersLlm(settings)
    llm.warm_up()
    return llm


def build_tts(settings: TtsSettings, env: Mapping[str, str]) -> TtsEngine:
    """A voice of resolved settings; `warm_up` makes it ready to speak at once."""
    if settings.provider == "local":
        return LocalVoice(_local_model(settings), settings.first_audio_timeout_s)
    key = env.get(settings.api_key_variable, "")
    if settings.provider == "elevenlabs":
        return _build_eleven_labs(settings, key)
    from serve_app.agent.tts.openai_speech import OpenAiSpeech

    return OpenAiSpeech(settings, key)


def _local_model(settings: TtsSettings) -> Synthesiser:
    if settings.voice == PACKAGED:
        from serve_app.agent.tts.hibari.model import HibariModel

        return HibariModel()
    from serve_app.agent.tts.piper.model import PiperModel

    return PiperModel(settings.voice, settings.threads)


def _build_eleven_labs(settings: TtsSettings, api_key: str) -> TtsEngine:
    format = eleven_labs_format(settings)
    if settings.transport == "http":
        from serve_app.agent.tts.elevenlabs.http import HttpVoice

        return HttpVoice(settings, api_key, format)
    if settings.transport == "stream-input":
        from serve_app.agent.tts.elevenlabs.stream_input import StreamInputVoice

        return StreamInputVoice(settings, api_key, format)
    from serve_app.agent.tts.elevenlabs.multi_context import MultiContextVoice

    return MultiContextVoice(settings, api_key, format)


def eleven_labs_format(settings: TtsSettings) -> AudioFormat:
    """The format to ask ElevenLabs for. Pcm at a rate that it does not offer is resampled later."""
    wanted = parse_format(settings.output_format or "pcm_22050")
    is_offered = wanted.name in ELEVEN_LABS_FORMATS and (
        settings.transport == "http" or wanted.name not in NOT_OVER_WEBSOCKETS
    )
    return parse_format("pcm_24000") if wanted.is_pcm and not is_offered else wanted
