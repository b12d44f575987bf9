"""Chat models behind OpenAI's API, or any server that offers it (vLLM, llama.cpp, ...)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import suppress
from typing import TypeVar

from httpx2 import Timeout
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    AsyncStream,
    OpenAIError,
    omit,
)
from openai.types.chat import ChatCompletionChunk

from serve_app.agent.llm import chat_completions
from serve_app.agent.llm.chat_completions import Arguments
from serve_app.agent.llm.tool_calls import ToolCallDelta, ToolLlm, ToolSpec, ToolStep
from serve_app.agent.openai_errors import engine_errors
from serve_app.agent.text.reply_text import MAX_REPLY_CHARS
from serve_app.conversation.budget import halved
from serve_app.conversation.history import ChatMessage
from serve_app.errors import EngineError, EngineTimeout
from serve_app.settings.agent import LlmSettings

T = TypeVar("T")

log = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
_CONNECT_TIMEOUT_S = 2.0
_DONE_TIMEOUT_S = 0.2
"""How long to wait for [DONE] after the last text. With it, the next reply can use the socket."""


class OpenAiChat(ToolLlm):
    """Streams chat completions, the part of the API that all compatible servers have."""

    def __init__(self, settings: LlmSettings, api_key: str) -> None:
        """`api_key` may be empty for a server that needs none."""
        self._model = settings.model
        self._max_tokens = settings.max_new_tokens
        self._first_timeout_s = settings.first_token_timeout_s
        self._next_timeout_s = settings.next_token_timeout_s
        self._is_openai = settings.provider == "openai"
        self._key_variable = settings.api_key_variable or "api_key_variable"
        self._client = AsyncOpenAI(
            # Without a key the SDK would send OPENAI_API_KEY to whatever server this is.
            api_key=api_key or "none",
            base_url=settings.api_url or OPENAI_URL,
            # step() has deadlines of its own, which keep-alive comments do not extend.
            timeout=Timeout(None, connect=_CONNECT_TIMEOUT_S, pool=_CONNECT_TIMEOUT_S),
            # Before a retry the SDK sleeps for as long as a 429 says, up to two minutes.
            max_retries=0,
        )

    async def step(
        self,
        chat: Sequence[ChatMessage],
        tools: Sequence[ToolSpec] = (),
        steps: Sequence[ToolStep] = (),
        may_call: bool = True,
    ) -> AsyncGenerator[str | ToolCallDelta, None]:
        """See ToolLlm.

        Raises EngineTimeout, EngineUnavailable, or EngineError when the request is refused or
        the reply ends early. Everything that arrived before the error has been yielded by then.
        """
        deadline, size = _Deadline(self._first_timeout_s), 0
        with engine_errors("llm", self._key_variable):
            opening = self._open_fitting(chat, tools, steps, may_call)
            async with await deadline.wait_for(opening) as events:
                finished = False
                while not finished:
                    chunk = await deadline.wait_for(anext(events, None))
                    if chunk is None:
                        raise EngineError("llm", "the stream ended early", retryable=True)
                    for choice in chunk.choices[:1]:  # none in a chunk of usage or keep-alive
                        for part in chat_completions.new_parts(choice.delta, bool(tools)):
                            size = _checked(size + _length(part))
                            yield part
                            deadline = _Deadline(self._next_timeout_s)
                        finished = choice.finish_reason is not None
                await _read_to_end(events)

    async def aclose(self) -> None:
        """Close the pool of connections."""
        await self._client.close()

    async def _open_fitting(
        self,
        chat: Sequence[ChatMessage],
        tools: Sequence[ToolSpec],
        steps: Sequence[ToolStep],
        may_call: bool,
    ) -> AsyncStream[ChatCompletionChunk]:
        """If the model says that the chat is too long for it, half of the chat is sent instead."""
        try:
            return await self._open(chat_completions.arguments(chat, tools, steps, may_call))
        except APIStatusError as error:
            if not chat_completions.is_too_long(error):
                raise
        log.warning("the chat is too long for %s: lower args.turn.history_tokens", self._model)
        return await self._open(chat_completions.arguments(halved(chat), tools, steps, may_call))

    async def _open(self, arguments: Arguments) -> AsyncStream[ChatCompletionChunk]:
        try:
            return await self._create(arguments)
        except APITimeoutError:
            raise
        except APIConnectionError:
            # Probably a kept-alive connection that the server has just closed.
            return await self._create(arguments)

    async def _create(self, arguments: Arguments) -> AsyncStream[ChatCompletionChunk]:
        stream: AsyncStream[ChatCompletionChunk] = await self._client.chat.completions.create(
            model=self._model,
            stream=True,
            # OpenAI's newer models refuse max_tokens; most other servers know no other name.
            max_completion_tokens=self._max_tokens if self._is_openai else omit,
            max_tokens=omit if self._is_openai else self._max_tokens,
            **arguments,
        )
        return stream


def _length(part: str | ToolCallDelta) -> int:
    return len(part) if isinstance(part, str) else len(part.name) + len(part.arguments)


def _checked(size: int) -> int:
    if size > MAX_REPLY_CHARS:
        raise EngineError("llm", f"the reply exceeds {MAX_REPLY_CHARS} characters")
    return size


class _Deadline:
    """When the next text is due. Chunks without text do not extend it."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._due_s = asyncio.get_running_loop().time() + limit_s

    async def wait_for(self, work: Awaitable[T]) -> T:
        """Raises EngineTimeout."""
        try:
            async with asyncio.timeout_at(self._due_s):
                return await work
        except TimeoutError:
            raise EngineTimeout("llm", f"no text within {self._limit_s:g} s") from None


async def _read_to_end(events: AsyncStream[ChatCompletionChunk]) -> None:
    """The reply is complete, so errors no longer matter."""
    with suppress(TimeoutError, OpenAIError, ValueError):
        async with asyncio.timeout(_DONE_TIMEOUT_S):
            while await anext(events, None) is not None:
                pass
