"""A chat model that uses tools: asks, calls, and asks again with the results."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from serve_app.agent.engines import LlmEngine
from serve_app.agent.llm.tool_calls import CallAssembler, ToolCallDelta, ToolLlm, ToolStep
from serve_app.agent.tools.toolbox import Toolbox
from serve_app.conversation.history import ChatMessage
from serve_app.errors import DraftDeclined, EngineError
from serve_app.settings.agent import ToolUseSettings

_PARAGRAPH = "\n"
"""Completes a clause that waits for its next word, so that it is spoken while the tools work."""


class ToolUser(LlmEngine):
    """The text of all rounds as one stream. Calls appear neither there nor in the history."""

    def __init__(
        self, llm: ToolLlm, tools: Toolbox, settings: ToolUseSettings, for_drafts: bool = False
    ) -> None:
        """`for_drafts`: no tool is used, since the user's turn may not be over."""
        self._llm = llm
        self._tools = tools
        self._settings = settings
        self._for_drafts = for_drafts

    async def stream(self, chat: Sequence[ChatMessage]) -> AsyncGenerator[str, None]:
        """See LlmEngine. The model is told when a tool fails.

        Raises what ToolLlm.step does, EngineError if the model asks for tools after the last
        step, and DraftDeclined if a draft needs a tool.
        """
        steps: list[ToolStep] = []
        filler = self._settings.filler
        while True:
            said = _Round(may_call=len(steps) < self._settings.max_steps)
            step = self._llm.step(chat, self._tools.specs, steps, said.may_call)
            async with aclosing(step) as parts:
                async for part in parts:
                    if isinstance(part, str):
                        said.text += part
                        yield part
                    else:
                        self._ask(said, part)
            if not (calls := said.asked.calls):
                return
            if said.text:
                yield _PARAGRAPH
            work = asyncio.create_task(self._tools.call_all(calls))
            try:
                if filler and await self._is_slow(work):
                    yield filler + _PARAGRAPH
                    filler = ""
                steps.append(ToolStep(said.text, calls, await work, said.asked.thoughts))
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)

    async def aclose(self) -> None:
        """Closes the model. The tools have their own owner."""
        await self._llm.aclose()

    def _ask(self, said: "_Round", delta: ToolCallDelta) -> None:
        if self._for_drafts:
            raise DraftDeclined("the reply needs a tool")
        if not said.may_call:
            raise EngineError("llm", f"no answer after {self._settings.max_steps} rounds of tools")
        said.asked.add(delta)

    async def _is_slow(self, work: asyncio.Task[tuple[str, ...]]) -> bool:
        done, _ = await asyncio.wait({work}, timeout=self._settings.filler_after_s)
        return not done


@dataclass(slots=True)
class _Round:
    """What the model has said and asked for since the last results."""

    may_call: bool
    text: str = ""
    asked: CallAssembler = field(default_factory=CallAssembler)
