"""A speaker whose LLM and voice are real local servers."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from serve_app.agent.llm.openai_chat import OpenAiChat
from serve_app.agent.speaker import Speaker
from serve_app.agent.tts.elevenlabs.multi_context import MultiContextVoice
from serve_app.conversation.history import ChatMessage
from serve_app.fakes.elevenlabs import FakeElevenLabs
from serve_app.fakes.elevenlabs import Script as VoiceScript
from serve_app.fakes.openai import FakeOpenAi
from serve_app.fakes.openai import Script as ChatScript
from serve_app.protocol.formats import parse_format
from serve_app.settings.agent import LlmSettings, TtsSettings
from tests.agent.chains import FORMAT, Clock, Known, voice_chain

CHAT = [ChatMessage("user", "Hello!")]
NOW_S = 1.5
"""Enough for a busy machine, and less than the engines' deadlines."""


@asynccontextmanager
async def speaking(
    chat: ChatScript | None = None, voice: VoiceScript | None = None, audio_timeout_s: float = 1.0
) -> AsyncIterator[tuple[Speaker, FakeOpenAi, FakeElevenLabs]]:
    async with FakeOpenAi(chat) as openai, FakeElevenLabs(voice) as elevenlabs:
        chat_settings = LlmSettings(provider="generic", model="m", api_url=openai.url)
        voice_settings = TtsSettings(api_url=elevenlabs.url, first_audio_timeout_s=audio_timeout_s)
        async with (
            aclosing(OpenAiChat(chat_settings, "")) as llm,
            voice_chain(
                MultiContextVoice(voice_settings, "k", parse_format("pcm_22050")),
                known=Known(),
                clock=Clock(),
            ) as voices,
        ):
            yield Speaker(llm, voices, FORMAT), openai, elevenlabs
