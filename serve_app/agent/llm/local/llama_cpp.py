"""A chat model in the server's own process, through llama.cpp.

xllamacpp holds llama.cpp's server, which reads a GGUF file, writes several replies at the same time
and remembers the conversation in each of its slots. A call to it blocks, so each one has a thread.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial

from serve_app.agent.llm.local.deadline import Due
from serve_app.agent.llm.local.loading import load
from serve_app.agent.llm.local.offered import Offered
from serve_app.agent.llm.local.prompt import Prompt, alone, in_plain_words
from serve_app.agent.llm.local.slots import Slot, Slots
from serve_app.agent.llm.local.written import Piece, TooLong, Written
from serve_app.agent.llm.spoken import spoken
from serve_app.agent.llm.tool_calls import ToolCallDelta, ToolLlm, ToolSpec, ToolStep
from serve_app.conversation.history import ChatMessage
from serve_app.errors import EngineError
from serve_app.settings.agent import LlmSettings
from serve_app.settings.packaged import LLMS

log = logging.getLogger(__name__)


class LlamaCpp(ToolLlm):
    """Greedy. Replies that overlap are written in turn, a token each."""

    def __init__(self, settings: LlmSettings) -> None:
        """Loads the model, which takes a few seconds. Raises ConfigError."""
        self._settings = settings
        self._longest_reply = min(settings.max_new_tokens, settings.max_sequence_length // 2)
        self._longest_prompt = settings.max_sequence_length - self._longest_reply
        self._server = load(settings)
        self._slots = Slots(settings.parallel_replies)
        self._threads = ThreadPoolExecutor(settings.parallel_replies, thread_name_prefix="llm")
        self._writing: dict[asyncio.Future[None], Written] = {}
        self.read_tokens = 0
        """Prompt tokens computed so far: those that no slot knew."""
        self.written_tokens = 0

    async def step(
        self,
        chat: Sequence[ChatMessage],
        tools: Sequence[ToolSpec] = (),
        steps: Sequence[ToolStep] = (),
        may_call: bool = True,
    ) -> AsyncGenerator[str | ToolCallDelta, None]:
        """See ToolLlm. A round ends after `max_new_tokens`. No tools are offered once there are
        results, which are told in plain words.

        Raises EngineTimeout when a token takes too long, including its time in the queue, and
        EngineError when the system prompt and the last exchange are too long, or nothing is said.
        """
        has_answered = False
        if tools and may_call and not steps and chat[-1].role == "user":
            async with aclosing(self._with_tools(chat, tools)) as parts:
                async for part in parts:
                    has_answered = True
                    yield part
        if not has_answered:
            async with aclosing(self._words(chat, steps)) as words:
                async for word in words:
                    yield word

    async def aclose(self) -> None:
        """Stops what is being written, and waits for it."""
        for written in self._writing.values():
            written.stop()
        await asyncio.to_thread(self._threads.shutdown)
        servers, self._server = [self._server], None
        await asyncio.to_thread(servers.clear)  # the last reference waits for llama.cpp

    async def _with_tools(
        self, chat: Sequence[ChatMessage], tools: Sequence[ToolSpec]
    ) -> AsyncGenerator[str | ToolCallDelta, None]:
        """What the model makes of the tools; nothing if it has to be asked without them.

        A packaged model is too small to use them within a conversation: it is asked whether it
        wants one for the user's last words alone, and words in place of a call are not read on.
        """
        is_small = self._settings.model in LLMS
        asked = alone(chat) if is_small else in_plain_words(chat, (), self._longest_prompt)
        offered = Offered(tools)
        try:
            async with aclosing(self.pieces(Prompt(asked, tools))) as pieces:
                async for piece in pieces:
                    words = offered.take(piece)
                    if is_small and offered.has_said:
                        return
                    if words:
                        yield words
        except TooLong:
            log.warning("%s: the tools of a reply leave no room for it", self._settings.model)
            return
        words = offered.end()
        if is_small and offered.has_said:
            return
        if words:
            yield words
        for call in offered.calls(chat[-1].content if is_small else None):
            yield call

    async def _words(
        self, chat: Sequence[ChatMessage], steps: Sequence[ToolStep]
    ) -> AsyncGenerator[str, None]:
        """A reply without tools."""
        said = in_plain_words(chat, steps, self._longest_prompt)
        try:
            async with aclosing(spoken(self.pieces(Prompt(said)), steps)) as words:
                async for word in words:
                    yield word
        except TooLong as error:
            raise error.as_engine_error() from None

    async def pieces(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """What the model writes, whatever it is. Raises TooLong if the prompt cannot be shorter."""
        due = Due(self._settings.first_token_timeout_s)
        for is_last_try in (False, False, True):
            try:
                async with aclosing(self._answer(prompt, due)) as pieces:
                    async for piece in pieces:
                        yield piece
                        due.again_in(self._settings.next_token_timeout_s)
                return
            except TooLong as error:
                if is_last_try or not error.can_be_shorter:
                    raise

    async def _answer(self, prompt: Prompt, due: Due) -> AsyncGenerator[Piece, None]:
        """Raises TooLong, before the first piece. By then the slot knows how long the chat is, so
        that less of it is sent the next time."""
        slot = await due.wait_for(self._slots.take(prompt.chat, prompt.declared))
        taken_at = slot.taken_at
        sent = prompt.shortened(self._longest_prompt / slot.tokens_per_estimate)
        written = Written(self._longest_prompt, self._longest_reply)
        self._start(sent, slot, written)
        try:
            while piece := await due.wait_for(written.next()):
                self.written_tokens += 1
                yield piece
        except TooLong as error:
            self._longest_prompt = error.longest
            error.can_be_shorter = len(sent.shortened(0).chat) < len(sent.chat)
            raise
        finally:
            if written.tokens and slot.taken_at == taken_at:
                slot.tokens_per_estimate = written.tokens / sent.estimate
            written.stop()
            self._slots.close(slot, taken_at)

    def _start(self, prompt: Prompt, slot: Slot, written: Written) -> None:
        """There are as many threads as slots, so this one starts at once."""
        loop = asyncio.get_running_loop()
        try:
            work = loop.run_in_executor(self._threads, self._write, prompt, slot.number, written)
        except RuntimeError:  # after aclose
            self._slots.give_back(slot)
            raise EngineError("llm", "the model has been closed") from None
        self._writing[work] = written
        work.add_done_callback(partial(self._ended, slot))

    def _ended(self, slot: Slot, work: "asyncio.Future[None]") -> None:
        self.read_tokens += self._writing.pop(work).read_tokens
        self._slots.give_back(slot)

    def _write(self, prompt: Prompt, slot: int, written: Written) -> None:
        """On a thread, until the reply has ended or was stopped."""
        asked = {
            **prompt.body,
            "max_tokens": self._longest_reply,
            "temperature": 0,
            "id_slot": slot,
            "stream": True,
            "return_progress": True,
            "chat_template_kwargs": {
                "enable_thinking": False
            },  # Qwen, and others; the rest ignore it
        }
        try:
            self._server.handle_chat_completions(asked, written.take)
        except Exception as error:
            # Only the type of the error: its message may quote the chat.
            written.end(EngineError("llm", f"the model failed ({type(error).__name__})"))
        else:
            written.end()
