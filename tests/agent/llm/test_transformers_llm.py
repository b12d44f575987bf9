"""A chat model from a Hugging Face directory: a tiny one with random weights, made here. What it
says is noise, but always the same."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from serve_app.agent.factory import build_llm
from serve_app.agent.llm.local.transformers_chat import TransformersLlm
from serve_app.conversation.history import ChatMessage
from serve_app.errors import ConfigError, EngineError, EngineTimeout
from serve_app.settings.agent import LlmSettings

SYSTEM = ChatMessage("system", "Answer in one short sentence.")
FRANCE = (SYSTEM, ChatMessage("user", "What is the capital of France?"))
MOON = (SYSTEM, ChatMessage("user", "Tell me about the moon."))
_TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def make_model(directory: Path) -> None:
    """A llama that knows bytes. Its random weights never end a reply early."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(letters)} | {"<end>": len(letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", chat_template=_TEMPLATE
    ).save_pretrained(directory)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = LlamaConfig(
        vocab_size=len(vocabulary), num_attention_heads=2, max_position_embeddings=512, **sizes,
        eos_token_id=vocabulary["<end>"],
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(directory)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> LlmSettings:
    directory = tmp_path_factory.mktemp("model")
    make_model(directory)
    return LlmSettings(
        provider="local",
        model=str(directory),
        device="cpu",
        threads=1,
        max_new_tokens=16,
        max_sequence_length=256,
    )


@pytest.fixture
def llm(settings: LlmSettings) -> TransformersLlm:
    built = build_llm(settings, {})
    assert isinstance(built, TransformersLlm)
    return built


async def answer(llm: TransformersLlm, chat: tuple[ChatMessage, ...]) -> str:
    return "".join([piece async for piece in llm.stream(chat)])


async def test_it_writes_what_generate_does(llm: TransformersLlm, settings: LlmSettings) -> None:
    model = LlamaForCausalLM.from_pretrained(settings.model, dtype=torch.float32).eval()
    prompt = torch.tensor([llm._prompt(FRANCE)])
    with torch.inference_mode():
        written = model.generate(prompt, max_new_tokens=16, do_sample=False, use_cache=True)
    expected = llm._tokenizer.decode(written[0, prompt.shape[1] :], skip_special_tokens=True)
    # float16 weights may change the mind of a random model, but not in its first letters.
    assert (await answer(llm, FRANCE))[:4] == expected[:4]


async def test_replies_that_overlap_are_what_they_are_alone(llm: TransformersLlm) -> None:
    alone = [await answer(llm, FRANCE), await answer(llm, MOON)]

    async def take(stream: AsyncIterator[str]) -> str:
        return "".join([piece async for piece in stream])

    together = await asyncio.gather(take(llm.stream(FRANCE)), take(llm.stream(MOON)))
    assert list(together) == alone


async def test_closing_stops_the_work(llm: TransformersLlm) -> None:
    stream = llm.stream(MOON)
    await anext(stream)
    await stream.aclose()
    before = llm.steps
    await answer(llm, FRANCE)  # its steps come after all that were still to be made
    reply_steps = llm.steps - before
    before = llm.steps
    await answer(llm, FRANCE)
    assert reply_steps == llm.steps - before


async def test_the_oldest_turns_go_when_the_chat_is_too_long(
    llm: TransformersLlm, settings: LlmSettings
) -> None:
    turns = [
        message
        for i in range(10)
        for message in (ChatMessage("user", f"Say {i}. " * 3), ChatMessage("assistant", f"{i}. "))
    ]
    ids = llm._prompt((SYSTEM, *turns, *FRANCE[1:]))
    assert len(ids) <= settings.max_sequence_length - settings.max_new_tokens
    prompt = llm._tokenizer.decode(ids)
    assert prompt.startswith(f"<system>{SYSTEM.content}\n<user>")
    assert all(text in prompt for text in (FRANCE[1].content, turns[-1].content))
    assert turns[0].content not in prompt


async def test_a_message_that_does_not_fit(llm: TransformersLlm) -> None:
    with pytest.raises(EngineError, match=r"llm: the prompt has \d+ tokens; 240 are left"):
        await answer(llm, (ChatMessage("user", "too long " * 300),))


async def test_queueing_and_reading_the_prompt_share_the_deadline_of_the_first_token(
    llm: TransformersLlm, settings: LlmSettings
) -> None:
    """The thread is busy for two thirds of the limit before the prompt, and before the token."""
    llm._settings = settings.model_copy(update={"first_token_timeout_s": 0.3})
    llm._thread.submit(time.sleep, 0.2)
    reader = asyncio.ensure_future(answer(llm, FRANCE))
    await asyncio.sleep(0)
    llm._thread.submit(time.sleep, 0.2)
    with pytest.raises(EngineTimeout, match=r"no text within 0\.3 s"):
        await reader


async def test_a_reply_is_bounded(llm: TransformersLlm, settings: LlmSettings) -> None:
    before = llm.steps
    await answer(llm, FRANCE)
    prompt_steps = 1  # it is short
    assert llm.steps - before <= settings.max_new_tokens + prompt_steps


def test_a_model_that_is_not_there(tmp_path: Path, settings: LlmSettings) -> None:
    with pytest.raises(ConfigError, match=r"llm\.model .* cannot be loaded"):
        TransformersLlm(settings.model_copy(update={"model": str(tmp_path)}))


async def test_it_refuses_work_once_closed(llm: TransformersLlm) -> None:
    await llm.aclose()
    with pytest.raises(EngineError):
        await answer(llm, FRANCE)
