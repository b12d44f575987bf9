"""Settings to engines. The one place to add a provider; imports only what is chosen."""

from collections.abc import Mapping

from serve_app.config import LlmSettings, TtsSettings
from serve_app.engines.base import LlmEngine, TtsEngine
from serve_app.protocol.formats import (
    ELEVEN_LABS_FORMATS,
    NOT_OVER_WEBSOCKETS,
    AudioFormat,
    parse_format,
)


def build_llm(settings: LlmSettings, env: Mapping[str, str]) -> LlmEngine:
    """The chat model of a resolved configuration, ready to run."""
    if settings.provider == "local":
        from serve_app.engines.local_llm import LocalLlm

        llm = LocalLlm(settings)
        llm.warm_up()
        return llm
    from serve_app.engines.openai_chat import OpenAiChat

    key = "OPENAI_API_KEY" if settings.provider == "openai" else "TEXT_GENERATION_API_KEY"
    return OpenAiChat(settings, env.get(key, ""))


def build_tts(settings: TtsSettings, env: Mapping[str, str]) -> TtsEngine:
    """The voice of a resolved configuration, ready to speak."""
    if settings.provider == "local":
        from serve_app.engines.piper import PiperVoice

        voice = PiperVoice(settings)
        voice.warm_up()
        return voice
    if settings.provider == "elevenlabs":
        return _build_eleven_labs(settings, env["ELEVEN_LABS_API_KEY"])
    from serve_app.engines.openai_speech import OpenAiSpeech

    key = "OPENAI_API_KEY" if settings.provider == "openai" else "TEXT_TO_SPEECH_API_KEY"
    return OpenAiSpeech(settings, env.get(key, ""))


def _build_eleven_labs(settings: TtsSettings, api_key: str) -> TtsEngine:
    format = eleven_labs_format(settings)
    if settings.transport == "http":
        from serve_app.engines.elevenlabs.http import HttpVoice

        return HttpVoice(settings, api_key, format)
    if settings.transport == "stream-input":
        from serve_app.engines.elevenlabs.stream_input import StreamInputVoice

        return StreamInputVoice(settings, api_key, format)
    from serve_app.engines.elevenlabs.multi_context import MultiContextVoice

    return MultiContextVoice(settings, api_key, format)


def eleven_labs_format(settings: TtsSettings) -> AudioFormat:
    """What ElevenLabs is asked for: pcm at a rate that it does not offer is resampled."""
    wire = parse_format(settings.output_format or "pcm_22050")
    is_offered = wire.name in ELEVEN_LABS_FORMATS and (
        settings.transport == "http" or wire.name not in NOT_OVER_WEBSOCKETS
    )
    return parse_format("pcm_24000") if wire.is_pcm and not is_offered else wire
