"""The real packaged chat model: its answers, its memory, and what closing a reply stops."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serve_app.agent.llm.local.chat import LocalLlm
from serve_app.agent.llm.local.prefixes import PrefixMemory
from serve_app.conversation.history import ChatMessage
from serve_app.errors import ConfigError, EngineError, EngineTimeout
from serve_app.settings.agent import LlmSettings

pytestmark = pytest.mark.models

SETTINGS = LlmSettings(
    provider="local", model="packaged", device="cpu", max_new_tokens=16, max_sequence_length=256
)
SYSTEM = ChatMessage("system", "You are a friendly voice assistant. Answer in one short sentence.")
FRANCE = (SYSTEM, ChatMessage("user", "What is the capital of France?"))
MOON = (SYSTEM, ChatMessage("user", "Tell me about the moon."))


@pytest.fixture(scope="module")
def loaded() -> LocalLlm:
    llm = LocalLlm(SETTINGS)
    llm.warm_up()
    return llm


@pytest.fixture
def llm(loaded: LocalLlm) -> LocalLlm:
    """The shared model, without memories of other tests."""
    loaded._thread.submit(lambda: None).result()
    loaded._memory = PrefixMemory(4096)
    return loaded


async def answer(llm: LocalLlm, chat: tuple[ChatMessage, ...]) -> str:
    return "".join([piece async for piece in llm.stream(chat)])


async def test_it_answers(llm: LocalLlm) -> None:
    pieces = [piece async for piece in llm.stream(FRANCE)]
    assert "Paris" in "".join(pieces)
    assert len(pieces) > 3
    assert not any("<|" in piece for piece in pieces)


async def test_text_beyond_ascii_comes_whole(llm: LocalLlm) -> None:
    """An emoji is several tokens; none of them is a piece by itself."""
    chat = (ChatMessage("user", "Repeat exactly: 日本語 😀"),)
    assert "\ufffd" not in await answer(llm, chat)


async def test_the_next_turn_computes_only_what_is_new(llm: LocalLlm) -> None:
    before = llm.prefilled_tokens
    reply = await answer(llm, FRANCE)
    first = llm.prefilled_tokens - before
    await answer(
        llm, (*FRANCE, ChatMessage("assistant", reply), ChatMessage("user", "And of Spain?"))
    )
    second = llm.prefilled_tokens - before - first
    assert first > 30  # all of the prompt
    assert second < 20  # the end of the reply and the new question


async def test_what_is_remembered_changes_no_answer(llm: LocalLlm) -> None:
    fresh = await answer(llm, FRANCE)
    before = llm.prefilled_tokens
    assert await answer(llm, FRANCE) == fresh
    assert llm.prefilled_tokens == before + 1


async def test_replies_that_overlap_are_what_they_are_alone(llm: LocalLlm) -> None:
    alone = [await answer(llm, FRANCE), await answer(llm, MOON)]
    order: list[int] = []

    async def take(which: int, stream: AsyncIterator[str]) -> str:
        pieces = []
        async for piece in stream:
            order.append(which)
            pieces.append(piece)
        return "".join(pieces)

    together = await asyncio.gather(take(0, llm.stream(FRANCE)), take(1, llm.stream(MOON)))
    assert list(together) == alone
    assert order[:6] in ([0, 1] * 3, [1, 0] * 3), "they take turns"


async def test_closing_stops_the_work(llm: LocalLlm) -> None:
    stream = llm.stream(MOON)
    await anext(stream)
    await stream.aclose()
    before = llm.steps
    await answer(llm, FRANCE)  # its steps come after all that were still to be made
    reply_steps = llm.steps - before
    before = llm.steps
    await answer(llm, FRANCE)
    assert reply_steps == llm.steps - before


async def test_cancelling_a_waiting_reader_stops_the_work(llm: LocalLlm) -> None:
    stream = llm.stream(MOON)
    await anext(stream)
    reader = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    before = llm.steps
    await answer(llm, FRANCE)
    with_rest = llm.steps - before
    before = llm.steps
    await answer(llm, FRANCE)
    assert with_rest - (llm.steps - before) in (0, 1), "at most the step that was running"


async def test_the_oldest_turns_go_when_the_chat_is_too_long(llm: LocalLlm) -> None:
    turns = [
        message
        for i in range(10)
        for message in (
            ChatMessage("user", f"Count to {i}. " * 5),
            ChatMessage("assistant", f"{i}. " * 5),
        )
    ]
    ids = llm._prompt((SYSTEM, *turns, *FRANCE[1:]))
    assert len(ids) <= SETTINGS.max_sequence_length - SETTINGS.max_new_tokens
    prompt = llm._tokenizer.decode(ids)
    assert prompt.startswith(f"<|im_start|>system\n{SYSTEM.content}<|im_end|>\n<|im_start|>user\n")
    assert all(text in prompt for text in (FRANCE[1].content, turns[-1].content))
    assert turns[0].content not in prompt


async def test_a_message_that_does_not_fit(llm: LocalLlm) -> None:
    with pytest.raises(EngineError, match=r"llm: the prompt has \d+ tokens; 240 are left"):
        await answer(llm, (ChatMessage("user", "too long " * 300),))


async def test_a_deadline_for_the_first_token(llm: LocalLlm) -> None:
    llm._settings = SETTINGS.model_copy(update={"first_token_timeout_s": 0.001})
    try:
        with pytest.raises(EngineTimeout, match=r"no text within 0\.001 s"):
            await answer(llm, FRANCE)
    finally:
        llm._settings = SETTINGS
    assert "Paris" in await answer(llm, FRANCE)


async def test_queueing_and_reading_the_prompt_share_the_deadline_of_the_first_token(
    llm: LocalLlm,
) -> None:
    """The thread is busy for two thirds of the limit before the prompt, and before the token."""
    llm._settings = SETTINGS.model_copy(update={"first_token_timeout_s": 0.3})
    try:
        llm._thread.submit(time.sleep, 0.2)
        reader = asyncio.ensure_future(answer(llm, FRANCE))
        await asyncio.sleep(0)
        llm._thread.submit(time.sleep, 0.2)
        with pytest.raises(EngineTimeout, match=r"no text within 0\.3 s"):
            await reader
    finally:
        llm._settings = SETTINGS


async def test_a_deadline_for_every_other_token(llm: LocalLlm) -> None:
    llm._settings = SETTINGS.model_copy(update={"next_token_timeout_s": 0.001})
    pieces: list[str] = []
    try:
        with pytest.raises(EngineTimeout, match=r"no text within 0\.001 s"):
            async for piece in llm.stream(FRANCE):
                pieces.append(piece)  # noqa: PERF401 - an error must not lose what came before
    finally:
        llm._settings = SETTINGS
    assert len(pieces) == 1


async def test_a_reply_is_bounded(llm: LocalLlm) -> None:
    chat = (SYSTEM, ChatMessage("user", "Count from one to one hundred, in words."))
    before = llm.steps
    await answer(llm, chat)
    prompt_steps = 1  # it is short
    assert llm.steps - before <= SETTINGS.max_new_tokens + prompt_steps


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"llm\.model .* cannot be loaded"):
        LocalLlm(SETTINGS.model_copy(update={"model": str(tmp_path)}))


async def test_it_refuses_work_once_closed() -> None:
    llm = LocalLlm(SETTINGS)
    await llm.aclose()
    with pytest.raises(EngineError):
        await answer(llm, FRANCE)
