"""Chat models behind OpenAI's API, or any server that offers it (vLLM, llama.cpp, ...)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import replace

from httpx2 import HTTPError, Response
from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

from serve_app.agent.llm import chat_completions
from serve_app.agent.llm.chat_completions import Arguments, Question
from serve_app.agent.llm.chunks import Chunk, FailedInStream, read_chunk
from serve_app.agent.llm.deadlines import Deadlines
from serve_app.agent.llm.dialect import Dialect, dialect_of
from serve_app.agent.llm.reasoning import thinks
from serve_app.agent.llm.refusals import Refusal, refusal_of
from serve_app.agent.llm.round import Round
from serve_app.agent.llm.server_sent_events import events
from serve_app.agent.llm.tool_calls import ToolCallDelta, ToolLlm, ToolSpec, ToolStep
from serve_app.agent.openai_client import openai_client
from serve_app.agent.openai_errors import engine_errors
from serve_app.conversation.budget import halved
from serve_app.conversation.history import ChatMessage
from serve_app.errors import EngineError, ReplyRefused
from serve_app.settings.agent import LlmSettings

log = logging.getLogger(__name__)

_DONE_TIMEOUT_S = 0.2
"""How long to wait for the end of the body after the end of the reply. With it, the next reply can
use the socket."""
_DONE = "[DONE]"
_LONGEST_BODY = 1 << 20
"""Bytes, of an answer in one piece."""
_HELLO = (ChatMessage("user", "Hello"),)
_ANY_TOOL = ToolSpec("none", "Do not use it.", {"type": "object", "properties": {}})
_MOST_LESSONS = 6
"""One for each thing that can be learnt from a refusal of one question."""


class OpenAiChat(ToolLlm):
    """Streams chat completions, the part of the API that all compatible servers have."""

    def __init__(self, settings: LlmSettings, api_key: str) -> None:
        """`api_key` may be empty for a server that needs none."""
        self._settings = settings
        self._dialect = dialect_of(settings)
        self._key_variable = settings.api_key_variable or "api_key_variable"
        self._lacks_beginning = False
        self._client = openai_client(settings.api_url, api_key)

    async def step(
        self,
        chat: Sequence[ChatMessage],
        tools: Sequence[ToolSpec] = (),
        steps: Sequence[ToolStep] = (),
        may_call: bool = True,
    ) -> AsyncGenerator[str | ToolCallDelta, None]:
        """See ToolLlm.

        Raises EngineTimeout, EngineUnavailable, ReplyRefused, or EngineError when the request is
        refused, the reply ends early, or there is nothing in it. Everything that arrived before the
        error has been yielded by then.
        """
        deadlines = Deadlines(self._settings, thinks(self._settings.model, self._dialect.effort))
        reply = Round(tools, steps, self._settings.starts_within_thought)
        with engine_errors("llm", self._key_variable):
            async with AsyncExitStack() as stack:
                question = Question(chat, tools, steps, may_call)
                opening = self._open(stack, question, deadlines)
                chunk, chunks = await deadlines.wait_for(opening)
                while chunk is not None:
                    for part in reply.take(chunk):
                        yield part
                        deadlines.wrote()
                    if reply.is_over:
                        break
                    if reply.is_thinking:
                        deadlines.thinking()
                    chunk = await deadlines.wait_for(anext(chunks, None))
                else:
                    raise EngineError("llm", "the stream ended early", retryable=True)
                for part in reply.end():
                    yield part
                await _read_to_end(chunks)
        self._warn_of_thought(reply)

    async def try_tools(self) -> None:
        """See ToolLlm. Hangs up after the first word."""
        with suppress(EngineError):  # the first reply will report it
            async with aclosing(self.step(_HELLO, (_ANY_TOOL,))) as parts:
                await anext(parts, None)

    async def aclose(self) -> None:
        """Close the pool of connections."""
        await self._client.close()

    async def _open(
        self, stack: AsyncExitStack, question: Question, deadlines: Deadlines
    ) -> tuple[Chunk | None, AsyncGenerator[Chunk, None]]:
        """The first chunk, and the others. Asks again in another way for as long as the server's
        refusals say in which."""
        for lessons_left in range(_MOST_LESSONS, -1, -1):
            dialect = self._dialect
            asked = chat_completions.arguments(self._settings, dialect, question)
            try:
                chunks = _chunks(await self._connect(stack, asked, deadlines))
                await stack.enter_async_context(aclosing(chunks))
                return await anext(chunks, None), chunks
            except (APIStatusError, FailedInStream) as error:
                refusal = refusal_of(error)
                if refusal.is_about_content:
                    raise ReplyRefused("llm", "the provider's content filter") from None
                mended = self._mended(question, dialect, refusal) if lessons_left else None
                if mended is None:
                    raise
                question = mended
        raise AssertionError("the last try has an answer or an error")

    def _mended(self, question: Question, dialect: Dialect, refusal: Refusal) -> Question | None:
        """The question to ask after a refusal of this one, in this dialect; None if there is none.
        If the model says that the chat is too long for it, half of the chat is sent instead."""
        if refusal.is_too_long:
            if len(shorter := halved(question.chat)) == len(question.chat):
                return None
            log.warning(
                "the chat is too long for %s: lower args.turn.history_tokens", self._settings.model
            )
            return replace(question, chat=shorter)
        if (lesson := dialect.after(refusal, bool(question.tools))) is None:
            return None
        self._dialect, learnt = lesson
        log.warning("%s: %s", self._settings.model, learnt)
        return question

    async def _connect(
        self, stack: AsyncExitStack, asked: Arguments, deadlines: Deadlines
    ) -> Response:
        """A server that loads its model, or wants a short pause, is asked again after that, within
        the deadline."""
        while True:
            try:
                return await self._create(stack, asked)
            except APITimeoutError:
                raise
            except APIConnectionError:
                # Probably a kept-alive connection that the server has just closed.
                return await self._create(stack, asked)
            except APIStatusError as error:
                pause_s = refusal_of(error).pause_s
                if not 0 < pause_s < deadlines.left_s:
                    raise
                await asyncio.sleep(pause_s)

    async def _create(self, stack: AsyncExitStack, asked: Arguments) -> Response:
        created = self._client.chat.completions.with_streaming_response.create(**asked)
        return (await stack.enter_async_context(created)).http_response

    def _warn_of_thought(self, reply: Round) -> None:
        if reply.lacks_beginning and not self._lacks_beginning:
            self._lacks_beginning = True
            log.warning(
                "%s: a thought was said, because it began without a tag:"
                " set llm.starts_within_thought",
                self._settings.model,
            )


async def _chunks(response: Response) -> AsyncGenerator[Chunk, None]:
    """Those of a reply. `[DONE]` is one that ends it. Raises EngineError and ValueError."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/html":
        raise EngineError("llm", "answered with a web page (text/html): check api_url")
    bytes_of_body = response.aiter_bytes()
    if kind == "application/json":
        yield read_chunk(await _whole(bytes_of_body))
        return
    async with aclosing(events(bytes_of_body)) as found:
        async for data in found:
            if data.strip() == _DONE:
                yield Chunk(finish_reason="stop")
            elif data.strip():
                yield read_chunk(data)


async def _whole(body: AsyncIterator[bytes]) -> str:
    """A body that is one JSON value, with or without a byte order mark. Raises EngineError."""
    whole = bytearray()
    async for chunk in body:
        whole += chunk
        if len(whole) > _LONGEST_BODY:
            raise EngineError("llm", "an answer in one piece that is too long")
    return whole.decode("utf-8-sig")


async def _read_to_end(chunks: AsyncGenerator[Chunk, None]) -> None:
    """The reply is complete, so errors no longer matter."""
    with suppress(TimeoutError, OpenAIError, HTTPError, EngineError, ValueError):
        async with asyncio.timeout(_DONE_TIMEOUT_S):
            while await anext(chunks, None) is not None:
                pass
