"""A chat model from Hugging Face in the server's own process, through transformers. It reads the
whole chat for each reply: on a CPU, llama.cpp is the better choice."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import torch
from tokenizers.decoders import DecodeStream
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from serve_app.agent.engines import LlmEngine
from serve_app.conversation.history import ChatMessage, without_tools
from serve_app.devices import can_halve_weights, halve_weights, resolve_device, use_threads
from serve_app.errors import ConfigError, EngineError, EngineTimeout
from serve_app.settings.agent import LlmSettings

A = TypeVar("A")
T = TypeVar("T")

Forward = Callable[[list[int], DynamicCache], Tensor]
"""From new tokens and a cache, which grows by them, to the logits after the last token."""

_PROMPT_TOKENS_PER_STEP = 128
"""A long prompt is read in parts, so that other replies do not wait for all of it."""


class TransformersLlm(LlmEngine):
    """Greedy, one token per step. One thread makes the steps of all replies in turn: replies that
    overlap share the model fairly, and a reply that is closed stops after its current step."""

    def __init__(self, settings: LlmSettings) -> None:
        """Loads the model, which takes a few seconds. Raises ConfigError."""
        use_threads(settings.threads)
        self._settings = settings
        self._tokenizer, model = _load(settings.model, settings)
        context = model.config.max_position_embeddings
        room = min(settings.max_sequence_length, context)
        self._longest_reply = min(settings.max_new_tokens, room // 2)
        self._longest_prompt = room - self._longest_reply
        self._ends = _end_tokens(model, self._tokenizer)
        self._forward = _forward(model)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="llm")
        self.steps = 0
        """How often the model has run."""

    def warm_up(self) -> None:
        """Runs the model once: the first run is slow."""
        self._thread.submit(_Generation(self._forward, [0, 0], DynamicCache()).step).result()

    async def stream(self, chat: Sequence[ChatMessage]) -> AsyncGenerator[str, None]:
        """See LlmEngine. A reply ends after `max_new_tokens`.

        Raises EngineTimeout when a token takes too long, including its time in the queue, and
        EngineError when the system prompt and the last message are too long.
        """
        timeout_s = self._settings.first_token_timeout_s
        clock = asyncio.get_running_loop().time
        started_s = clock()
        generation = await self._within(timeout_s, self._run(self._begin, chat))
        spent_s = clock() - started_s
        text = DecodeStream(skip_special_tokens=True)
        for _ in range(self._longest_reply):
            token = await self._within(timeout_s, self._token(generation), spent_s)
            timeout_s, spent_s = self._settings.next_token_timeout_s, 0.0
            if token in self._ends:
                return
            if piece := text.step(self._tokenizer.backend_tokenizer, token):
                yield piece

    async def aclose(self) -> None:
        """Drops what is queued, and waits for the current step."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _token(self, generation: "_Generation") -> int:
        while (token := await self._run(self._step, generation)) is None:
            pass
        return token

    async def _run(self, work: Callable[[A], T], argument: A) -> T:
        """`work` on the model's thread."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work, argument)
        except EngineError:
            raise
        except Exception as error:
            # Only the type of the error: its message may quote the chat.
            raise EngineError("llm", f"the model failed ({type(error).__name__})") from error

    async def _within(self, timeout_s: float, work: Awaitable[T], spent_s: float = 0.0) -> T:
        try:
            async with asyncio.timeout(timeout_s - spent_s):
                return await work
        except TimeoutError:
            raise EngineTimeout("llm", f"no text within {timeout_s:g} s") from None

    # From here on: on the model's thread.

    def _begin(self, chat: Sequence[ChatMessage]) -> "_Generation":
        return _Generation(self._forward, self._prompt(chat), DynamicCache())

    def _step(self, generation: "_Generation") -> int | None:
        self.steps += 1
        return generation.step()

    def _prompt(self, chat: Sequence[ChatMessage]) -> list[int]:
        """Token ids of the chat. The oldest turns are dropped if it is too long for the model."""
        system = [message for message in chat if message.role == "system"]
        spoken = [message for message in chat if message.role != "system"]
        while len(ids := self._template(system + spoken)) > self._longest_prompt:
            if len(spoken) <= 2:
                raise EngineError(
                    "llm",
                    f"the prompt has {len(ids)} tokens; {self._longest_prompt} are left by"
                    " llm.max_sequence_length and llm.max_new_tokens",
                )
            spoken = spoken[2:]
        return ids

    def _template(self, chat: list[ChatMessage]) -> list[int]:
        said = without_tools(chat)
        messages = [{"role": message.role, "content": message.content} for message in said]
        encoded = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True
        )
        return list(encoded["input_ids"])


class _Generation:
    """One reply in the making."""

    def __init__(self, forward: Forward, prompt: list[int], cache: DynamicCache) -> None:
        self._forward = forward
        self.tokens = prompt
        self.cache = cache
        """Keys and values of the first of `tokens`. At least the last one is missing."""

    @torch.inference_mode()
    def step(self) -> int | None:
        """The next token, or None when there is more of the prompt to read."""
        known = self.cache.get_seq_length()
        unread = self.tokens[known : known + _PROMPT_TOKENS_PER_STEP]
        logits = self._forward(unread, self.cache)
        if known + len(unread) < len(self.tokens):
            return None
        token = int(logits.argmax())
        self.tokens.append(token)
        return token


def _load(source: str, settings: LlmSettings) -> tuple[Any, Any]:
    """Tokenizer and model. On a CPU without bfloat16, `auto` means float16 weights and float32
    arithmetic."""
    device = resolve_device(settings.device)
    on_cpu = device.type == "cpu" and settings.dtype == "auto" and not _has_bfloat16()
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source)
        model: Any = AutoModelForCausalLM.from_pretrained(
            source, dtype=torch.float32 if on_cpu else _dtype(settings.dtype)
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"llm.model {source!r} cannot be loaded: {error}") from error
    if tokenizer.chat_template is None:
        raise ConfigError(f"llm.model {source!r} has no chat template: choose an instruct model")
    return tokenizer, model.eval().to(device)


def _forward(model: Any) -> Forward:
    """How to run the model; on a CPU with float32 arithmetic and weights stored as float16."""
    if model.device.type == "cpu" and model.dtype is torch.float32 and can_halve_weights():
        halve_weights(model)
    return partial(_transformers_forward, model)


def _transformers_forward(model: Any, tokens: list[int], cache: DynamicCache) -> Tensor:
    logits: Tensor = model(
        input_ids=torch.tensor([tokens], device=model.device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits
    return logits[0, -1]


def _dtype(name: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, "bfloat16" if name == "auto" else name)
    return dtype


def _has_bfloat16() -> bool:
    """Emulated bfloat16 reads a prompt four times as slowly as float32."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)
