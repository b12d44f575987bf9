"""The agent: an LLM and a voice, one streaming call a reply."""

import os
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any

from serve_app.config import AgentSettings
from serve_app.conversation.history import Message
from serve_app.engines.factory import build_llm, build_tts
from serve_app.plan import wire_format
from serve_app.reply import ReplyPart, Speaker
from serve_app.tools.factory import build_toolbox, with_tools
from serve_app.tools.toolbox import Toolbox


class Agent:
    """Holds the provider clients or the local models, and the tools."""

    def __init__(self, settings: AgentSettings) -> None:
        llm = build_llm(settings.llm, os.environ)
        tts = build_tts(settings.tts, os.environ)
        wire = wire_format(settings.tts)
        tools = build_toolbox(settings, os.environ)
        writer, drafter = with_tools(llm, tools, settings)
        self._speaker = Speaker(writer, tts, wire)
        self._drafting_speaker = Speaker(drafter, tts, wire)
        # All else ends with the process.
        self._to_be_told: Toolbox | None = tools if settings.mcp_servers else None

    async def reply(
        self, chat: list[Message], voice: str, is_draft: bool
    ) -> AsyncGenerator[ReplyPart, None]:
        """Clauses and audio as they come; a cancelled call stops LLM, tools and voice.

        Raises EngineError, and DraftDeclined for a draft that would need a tool.
        """
        speaker = self._drafting_speaker if is_draft else self._speaker
        async with aclosing(speaker.reply(chat, voice)) as parts:
            async for part in parts:
                yield part

    async def say(self, text: str, voice: str) -> AsyncGenerator[ReplyPart, None]:
        """The text as speech."""
        async with aclosing(self._speaker.say(text, voice)) as parts:
            async for part in parts:
                yield part

    def __del__(self) -> Coroutine[Any, Any, None] | None:
        """Serve awaits what this returns when a replica ends: MCP servers are told. Python, which
        calls it once more, would not. A server that was started ends with its replica anyway."""
        tools: Toolbox | None = self.__dict__.pop("_to_be_told", None)
        return tools.aclose() if tools else None
