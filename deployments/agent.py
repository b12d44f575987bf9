"""The agent: an LLM and a voice, with one streaming call per reply."""

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from deployments.engine_metrics import EngineMetrics
from deployments.loopback import reached_where_its_node_is
from serve_app.agent.factory import build_llm_chain, build_tts_chain
from serve_app.agent.parts import ReplyPart
from serve_app.agent.speaker import Speaker
from serve_app.agent.stalls import Stalls
from serve_app.agent.tools.factory import build_toolbox, with_tools
from serve_app.agent.under_way import RepliesUnderWay
from serve_app.conversation.calls import NO_OFFER, Offer
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.sound import Sound
from serve_app.settings.agent import AgentSettings
from serve_app.settings.resolve import client_format


@reached_where_its_node_is
class Agent:
    """Owns the clients of providers or the local models, and the tools."""

    def __init__(self, settings: AgentSettings) -> None:
        """To be called in the event loop: connects to providers and MCP servers ahead of time."""
        watcher = EngineMetrics()
        self._llm = build_llm_chain(settings, os.environ, watcher)
        self._tts = build_tts_chain(settings, os.environ, watcher)
        self._tts.warm_up()
        self._tools = build_toolbox(settings, os.environ)
        writer, drafter = with_tools(self._llm, self._tools, settings)
        format = client_format(settings.tts)
        replies, stalls = RepliesUnderWay(settings.draft_replies), Stalls()
        self._speaker = Speaker(writer, self._tts, format, under_way=replies.reply, stalls=stalls)
        self._drafting_speaker = Speaker(
            drafter, self._tts, format, under_way=replies.draft, stalls=stalls
        )
        self._loop = asyncio.get_running_loop()
        self._watch = self._loop.create_task(stalls.watch())
        self._trial = self._loop.create_task(self._try_tools(settings.uses_tools))

    async def _try_tools(self, are_any: bool) -> None:
        if are_any:
            await self._llm.try_tools()

    # Coroutines that return a generator, so that nothing lies between the speaker and Serve, which
    # awaits them and streams (2.60, replica.py, `_call_user_generator`). A plain method would not
    # do: where Serve runs those in threads, it takes no asynchronous generator from them.

    async def reply(
        self,
        chat: list[ChatMessage],
        sound: Sound,
        is_draft: bool,
        offer: Offer = NO_OFFER,
        tells_tools: bool = False,
    ) -> AsyncGenerator[ReplyPart, None]:
        """The answer, as it is made. In a call that is cancelled Serve raises CancelledError at
        the point that the generator has reached: that stops LLM, tools and voice. `offer`: what
        the client runs. `tells_tools`: whether parts say which tools were used.

        Raises EngineError, and DraftDeclined for a draft that would need a tool, or while there is
        enough to do.
        """
        speaker = self._drafting_speaker if is_draft else self._speaker
        return speaker.reply(chat, sound, offer, tells_tools)

    async def say(self, text: str, sound: Sound) -> AsyncGenerator[ReplyPart, None]:
        """The text as speech. Cancellation and errors are as for `reply`."""
        return self._speaker.say(text, sound)

    def __del__(self) -> Coroutine[Any, Any, None] | None:
        """Serve calls this when a replica ends, in the constructor's loop, and awaits the result,
        which closes everything. Python calls it, too, but awaits nothing: then there is no result,
        and everything ends with the process."""
        loop = self.__dict__.pop("_loop", None)
        try:
            return self._aclose() if loop is asyncio.get_running_loop() else None
        except RuntimeError:  # no loop is running
            return None

    async def _aclose(self) -> None:
        self._watch.cancel()
        self._trial.cancel()
        await asyncio.gather(
            self._tools.aclose(), self._llm.aclose(), self._tts.aclose(), return_exceptions=True
        )
