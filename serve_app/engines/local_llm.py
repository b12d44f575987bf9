"""A small chat model in the server's own process, through transformers."""

import asyncio
import copy
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from tokenizers.decoders import DecodeStream
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from serve_app import models
from serve_app.config import PACKAGED, LlmSettings
from serve_app.conversation.history import Message
from serve_app.engines.base import LlmEngine
from serve_app.engines.devices import can_halve_weights, halve_weights, resolve_device, use_threads
from serve_app.errors import ConfigError, EngineError, EngineTimeout

T = TypeVar("T")

_PACKAGED_MODEL = "smollm2-135m-instruct"
_REMEMBERED_TOKENS = 4096
"""Bound of the prefix memory: 190 MB of keys and values for SmolLM2-135M in float32."""


class LocalLlm(LlmEngine):
    """Greedy, one token a step. One thread makes the steps of all replies in turn, so replies
    that overlap share the model fairly and one that is closed stops after its current step."""

    def __init__(self, settings: LlmSettings) -> None:
        """Loads the model, which takes a second or two. Raises ConfigError."""
        use_threads(settings.threads)
        self._settings = settings
        source = settings.model
        source = str(models.path(_PACKAGED_MODEL)) if source == PACKAGED else source
        device = resolve_device(settings.device)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source)
            self._model: Any = AutoModelForCausalLM.from_pretrained(
                source, dtype=_dtype(settings.dtype, device)
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"llm.model {source!r} cannot be loaded: {error}") from error
        self._model = self._model.eval().to(device)
        if device.type == "cpu" and self._model.dtype is torch.float32 and can_halve_weights():
            halve_weights(self._model)
        self._ends = _end_tokens(self._model, self._tokenizer)
        self._memory = _PrefixMemory(_REMEMBERED_TOKENS)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="llm")

    @property
    def prefilled_tokens(self) -> int:
        """Prompt tokens computed so far: what the prefix memory could not spare."""
        return self._memory.missed_tokens

    def warm_up(self) -> None:
        """Run once, so that the first reply does not wait for it."""
        self._thread.submit(_Generation(self._model, self._memory, [0, 0]).step).result()

    async def stream(self, chat: Sequence[Message]) -> AsyncGenerator[str, None]:
        """See LlmEngine. Raises EngineTimeout when a token takes too long, queueing included."""
        prompt = await self._run(lambda: self._prompt(chat), self._settings.first_token_timeout_s)
        generation = _Generation(self._model, self._memory, prompt)
        text = DecodeStream(skip_special_tokens=True)
        timeout_s = self._settings.first_token_timeout_s
        try:
            for _ in range(self._settings.max_new_tokens):
                token = await self._run(generation.step, timeout_s)
                timeout_s = self._settings.next_token_timeout_s
                if token in self._ends:
                    return
                if piece := text.step(self._tokenizer.backend_tokenizer, token):
                    yield piece
        finally:
            generation.remember()

    async def aclose(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T], timeout_s: float) -> T:
        """`work` on the model's thread."""
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            raise EngineTimeout("llm", f"no token within {timeout_s:g} s") from None
        except RuntimeError as error:
            raise EngineError("llm", f"the local model failed ({type(error).__name__})") from error

    def _prompt(self, chat: Sequence[Message]) -> list[int]:
        """Token ids of the chat; the oldest messages go when it is too long for the model."""
        longest = self._settings.max_sequence_length - self._settings.max_new_tokens
        system = [message for message in chat if message.role == "system"]
        spoken = [message for message in chat if message.role != "system"]
        while len(ids := self._template(system + spoken)) > longest and len(spoken) > 1:
            spoken = spoken[2:] if len(spoken) > 2 else spoken[-1:]
        return ids[-longest:]

    def _template(self, chat: list[Message]) -> list[int]:
        messages = [{"role": message.role, "content": message.content} for message in chat]
        encoded = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True
        )
        return list(encoded["input_ids"])


class _Generation:
    """One reply. All of it runs on the model's thread, except `remember`."""

    def __init__(self, model: Any, memory: "_PrefixMemory", prompt: list[int]) -> None:
        self._model = model
        self._memory = memory
        self._tokens = prompt
        self._cache: DynamicCache | None = None

    @torch.inference_mode()
    def step(self) -> int:
        """The next token."""
        if self._cache is None:
            self._cache = self._memory.recall(self._tokens)
        known = self._cache.get_seq_length()
        ids = torch.tensor([self._tokens[known:]], device=self._model.device)
        logits = self._model(
            input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1
        ).logits
        token = int(logits[0, -1].argmax())
        self._tokens.append(token)
        return token

    def remember(self) -> None:
        """The next turn's prompt begins with this turn's."""
        if self._cache is not None:
            self._memory.store(self._tokens, self._cache)


class _PrefixMemory:
    """Keys and values of the last prompts, by their tokens: the next turn of a conversation
    computes only what is new, which halves the time to its first token (measured)."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[tuple[int, ...], DynamicCache] = OrderedDict()
        self.missed_tokens = 0

    def recall(self, tokens: list[int]) -> DynamicCache:
        """A copy of the longest common beginning, at least one token short of `tokens`."""
        best, shared = None, 0
        for known in self._entries:
            common = min(_common_prefix(known, tokens), len(tokens) - 1)
            if common > shared:
                best, shared = known, common
        self.missed_tokens += len(tokens) - shared
        if best is None:
            return DynamicCache()
        self._entries.move_to_end(best)
        cache = copy.deepcopy(self._entries[best])
        cache.crop(shared - cache.get_seq_length())  # a negative number: how many to drop
        return cache

    def store(self, tokens: list[int], cache: DynamicCache) -> None:
        known = tuple(tokens[: cache.get_seq_length()])
        self._entries[known] = cache
        while sum(map(len, self._entries)) > self._capacity and len(self._entries) > 1:
            self._entries.popitem(last=False)


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)


def _dtype(name: str, device: torch.device) -> torch.dtype:
    """bfloat16 on a CPU without instructions for it is 30 times slower than float32."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type != "cpu":
        return torch.bfloat16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
