"""The agent: an LLM and a voice, one streaming call a reply."""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing

from serve_app.config import AgentSettings
from serve_app.conversation.history import Message
from serve_app.engines.factory import build_llm, build_tts
from serve_app.plan import wire_format
from serve_app.reply import ReplyPart, Speaker


class Agent:
    """Holds the provider clients or the local models."""

    def __init__(self, settings: AgentSettings) -> None:
        llm = build_llm(settings.llm, os.environ)
        tts = build_tts(settings.tts, os.environ)
        self._speaker = Speaker(llm, tts, wire_format(settings.tts))

    async def reply(self, chat: list[Message], voice: str) -> AsyncGenerator[ReplyPart, None]:
        """Clauses and audio as they come; a cancelled call stops LLM and voice."""
        async with aclosing(self._speaker.reply(chat, voice)) as parts:
            async for part in parts:
                yield part

    async def say(self, text: str, voice: str) -> AsyncGenerator[ReplyPart, None]:
        """The text as speech."""
        async with aclosing(self._speaker.say(text, voice)) as parts:
            async for part in parts:
                yield part
