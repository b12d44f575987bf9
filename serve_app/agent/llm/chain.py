"""Chat models, asked one after the other until one begins to write."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from serve_app.agent.chain import Chain
from serve_app.agent.engines import LlmEngine
from serve_app.agent.llm.spoken import spoken
from serve_app.agent.llm.tool_calls import ToolCallDelta, ToolLlm, ToolSpec, ToolStep
from serve_app.conversation.history import ChatMessage
from serve_app.errors import EngineError


class LlmChain(ToolLlm):
    """Falls over only before the first token: what was passed on is not written a second time.

    With tools, the models are asked in turn for each round of a reply, and get the results so far.
    So no tool is used twice because a model failed.
    """

    def __init__(self, chain: Chain[LlmEngine]) -> None:
        """If there are tools, all engines have to be ToolLlm (see check_tools)."""
        self._chain = chain

    async def step(
        self,
        chat: Sequence[ChatMessage],
        tools: Sequence[ToolSpec] = (),
        steps: Sequence[ToolStep] = (),
        may_call: bool = True,
    ) -> AsyncGenerator[str | ToolCallDelta, None]:
        """See ToolLlm. Raises the EngineError of the last engine that was asked."""
        failure: EngineError | None = None
        for link in self._chain.admitted():
            try:
                with link.attempt() as attempt:
                    parts = _ask(link.engine, chat, tools, steps, may_call)
                    async with aclosing(parts):
                        async for part in parts:
                            attempt.has_begun = True
                            yield part
                return
            except EngineError as error:
                if attempt.has_begun:
                    raise
                failure = error
        assert failure is not None, "a chain has an engine"
        raise failure

    async def try_tools(self) -> None:
        """See ToolLlm. Their breakers do not count this."""
        engines = [link.engine for link in self._chain.links]
        await asyncio.gather(*(llm.try_tools() for llm in engines if isinstance(llm, ToolLlm)))

    async def aclose(self) -> None:
        """Closes all of them."""
        await self._chain.aclose()


def _ask(
    engine: LlmEngine,
    chat: Sequence[ChatMessage],
    tools: Sequence[ToolSpec],
    steps: Sequence[ToolStep],
    may_call: bool,
) -> AsyncGenerator[str | ToolCallDelta, None] | AsyncGenerator[str, None]:
    if isinstance(engine, ToolLlm):
        return engine.step(chat, tools, steps, may_call)
    return spoken(engine.stream(chat))
