"""Settings to engines. The one place to add a provider; imports only what is chosen."""

from collections.abc import Mapping

from serve_app.config import LlmSettings, TtsSettings
from serve_app.engines.base import LlmEngine, TtsEngine
from serve_app.protocol.formats import parse_format


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
    from serve_app.engines.elevenlabs import ElevenLabsVoice

    asked = parse_format(settings.output_format or ELEVEN_LABS_FORMAT)
    return ElevenLabsVoice(settings, env["ELEVEN_LABS_API_KEY"], asked)


ELEVEN_LABS_FORMAT = "pcm_22050"
"""Asked for when the user chose no format: pcm_44100 needs one of the larger plans."""
