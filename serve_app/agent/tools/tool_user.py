"""A chat model that uses tools: asks, calls, and asks again with the results. Where it needs what
the client runs, the reply ends, and another one begins when the client has answered."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast

from serve_app.agent.engines import LlmEngine
from serve_app.agent.llm.tool_calls import CallAssembler, ToolCall, ToolCallDelta, ToolLlm, ToolStep
from serve_app.agent.parts import Called, ToolUsed
from serve_app.agent.tools.client_tools import ClientTools
from serve_app.agent.tools.toolbox import MOST_TOOLS, Toolbox
from serve_app.conversation.calls import NO_OFFER, Offer
from serve_app.conversation.history import ChatMessage
from serve_app.errors import DraftDeclined, EngineError
from serve_app.settings.agent import ToolUseSettings

_PARAGRAPH = "\n"
"""Completes a clause that waits for its next word, so that it is spoken while the tools work."""


class ToolUser(LlmEngine):
    """The text of all rounds as one stream. Calls appear there only if the client has to answer
    some: then they are the last thing."""

    def __init__(
        self, llm: ToolLlm, tools: Toolbox, settings: ToolUseSettings, for_drafts: bool = False
    ) -> None:
        """`for_drafts`: no tool is used, since the user's turn may not be over."""
        self._llm = llm
        self._tools = tools
        self._settings = settings
        self._for_drafts = for_drafts

    def stream(self, chat: Sequence[ChatMessage]) -> AsyncGenerator[str, None]:
        """See LlmEngine: a reply that needs nothing of the client's. Raises what `answer` does."""
        return cast(AsyncGenerator[str, None], self.answer(chat))

    async def answer(
        self, chat: Sequence[ChatMessage], offer: Offer = NO_OFFER, tells_tools: bool = False
    ) -> AsyncGenerator[str | Called | ToolUsed, None]:
        """See LlmEngine. The model is told when a tool fails. `offer`: what the client runs.
        `tells_tools`: whether the caller wants to know what was used.

        Raises what ToolLlm.step does, EngineError if the model asks for tools after the last
        step, and DraftDeclined if a draft needs a tool.
        """
        steps: list[ToolStep] = []
        filler = self._settings.filler
        clients = ClientTools(offer)
        while True:
            own = self._tools.specs
            tools = (*own, *clients.specs_besides(own))[:MOST_TOOLS]
            said = _Round(offer.may_call and len(steps) < self._settings.max_steps)
            step = self._llm.step(chat, tools, steps, said.may_call)
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
            mine, theirs = clients.told_apart(calls, own)
            began_s = asyncio.get_running_loop().time()
            work = asyncio.create_task(self._tools.call_all(mine))
            try:
                if filler and await self._is_slow(work):
                    yield filler + _PARAGRAPH
                    filler = ""
                results = await work
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
            if tells_tools:
                for used in _used(mine, results, began_s):
                    yield used
            if theirs:
                yield clients.called(steps, calls, mine, results)
                return
            steps.append(ToolStep(said.text, calls, results, said.asked.thoughts))

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


def _used(calls: Sequence[ToolCall], results: Sequence[str], began_s: float) -> Iterator[ToolUsed]:
    took_ms = (asyncio.get_running_loop().time() - began_s) * 1000
    for call, result in zip(calls, results, strict=True):
        yield ToolUsed(call.name, call.arguments, result, took_ms)


@dataclass(slots=True)
class _Round:
    """What the model has said and asked for since the last results."""

    may_call: bool
    text: str = ""
    asked: CallAssembler = field(default_factory=CallAssembler)
