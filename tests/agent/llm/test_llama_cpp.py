"""The smallest packaged chat model in llama.cpp: its answers, its memory, what closing stops."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from serve_app.agent.llm.local.llama_cpp import LlamaCpp
from serve_app.agent.llm.local.loading import PROMPT_TOKENS_PER_STEP
from serve_app.conversation.history import ChatMessage
from serve_app.errors import ConfigError, EngineError, EngineTimeout
from serve_app.settings.agent import LlmSettings
from tests.agent.llm.conftest import at_rest

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="module")]

SETTINGS = LlmSettings(
    provider="local",
    model="smollm2-135m-instruct",
    device="cpu",
    threads=1,
    max_new_tokens=16,
    max_sequence_length=256,
    parallel_replies=2,
    first_token_timeout_s=30,
    next_token_timeout_s=30,
)
SYSTEM = ChatMessage("system", "You are a friendly voice assistant. Answer in one short sentence.")
FRANCE = (SYSTEM, ChatMessage("user", "What is the capital of France?"))
MOON = (SYSTEM, ChatMessage("user", "Tell me about the moon."))


@pytest.fixture
def with_settings(llm: LlamaCpp, monkeypatch: pytest.MonkeyPatch) -> LlamaCpp:
    """The same model; its settings may be changed."""
    monkeypatch.setattr(llm, "_settings", SETTINGS)
    return llm


async def answer(llm: LlamaCpp, chat: tuple[ChatMessage, ...]) -> str:
    return "".join([piece async for piece in llm.stream(chat)])


async def read_by(llm: LlamaCpp, chat: tuple[ChatMessage, ...]) -> int:
    """How many tokens of this prompt the model has to read."""
    await at_rest(llm)
    before = llm.read_tokens
    await answer(llm, chat)
    await at_rest(llm)
    return llm.read_tokens - before


def long_chat(exchanges: int) -> tuple[ChatMessage, ...]:
    turns = (
        message
        for i in range(exchanges)
        for message in (
            ChatMessage("user", f"Tell me about the number {i * 37}, please."),
            ChatMessage("assistant", f"The number {i * 37} is one that I like a lot."),
        )
    )
    return (SYSTEM, *turns, ChatMessage("user", "Which city is the capital of France?"))


async def test_it_answers_as_it_writes(llm: LlamaCpp) -> None:
    pieces = [piece async for piece in llm.stream(FRANCE)]
    assert "Paris" in "".join(pieces)
    assert len(pieces) > 3
    assert not any("<|" in piece for piece in pieces)


async def test_text_beyond_ascii_comes_whole(llm: LlamaCpp) -> None:
    """An emoji is several tokens; none of them is a piece by itself."""
    chat = (ChatMessage("user", "Repeat exactly: 日本語 😀"),)
    assert "\ufffd" not in await answer(llm, chat)


async def test_the_next_turn_reads_only_what_is_new(llm: LlamaCpp) -> None:
    reply = await answer(llm, FRANCE)
    further = (ChatMessage("assistant", reply), ChatMessage("user", "And of Spain?"))
    assert await read_by(llm, (*FRANCE, *further)) < 20


async def test_two_conversations_do_not_take_each_others_memory(llm: LlamaCpp) -> None:
    ann, bob = long_chat(4), (SYSTEM, *(replace(m, content=m.content + "!") for m in long_chat(3)))
    await answer(llm, ann)
    await answer(llm, bob)
    end = (ChatMessage("assistant", "Paris."), ChatMessage("user", "And of Spain?"))
    assert await read_by(llm, (*ann, *end)) < 20
    assert await read_by(llm, (*bob, *end)) < 20


async def test_the_system_prompt_is_read_once(llm: LlamaCpp) -> None:
    """Also by a conversation that begins in the slot of another one."""
    await answer(llm, long_chat(2))
    await answer(llm, MOON)
    whole = await read_by(llm, (ChatMessage("system", "Another one."), *long_chat(3)[1:]))
    begun = await read_by(llm, (SYSTEM, ChatMessage("user", "Say hello.")))
    assert begun < 20 < whole


async def test_what_is_remembered_changes_no_answer(llm: LlamaCpp) -> None:
    fresh = await answer(llm, FRANCE)
    assert await read_by(llm, FRANCE) == 1
    assert await answer(llm, FRANCE) == fresh


async def test_replies_that_overlap_are_what_they_are_alone(llm: LlamaCpp) -> None:
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
    assert order != sorted(order), "they take turns"


async def test_a_third_reply_waits_for_one_of_two(llm: LlamaCpp) -> None:
    chats = (FRANCE, MOON, (SYSTEM, ChatMessage("user", "What is a cat?")))
    replies = await asyncio.gather(*(answer(llm, chat) for chat in chats))
    assert all(replies)


async def test_closing_ends_the_work_within_a_token(llm: LlamaCpp) -> None:
    await at_rest(llm)
    server, seen = llm._server, list[object]()

    class Watched:
        def handle_chat_completions(self, asked: dict[str, object], take: object) -> None:
            def watch(chunk: dict[str, object]) -> bool:
                seen.append(chunk)
                return bool(take(chunk))  # type: ignore[operator]

            server.handle_chat_completions(asked, watch)

    llm._server = Watched()
    try:
        async with aclosing(llm.stream(MOON)) as stream:
            await anext(stream)
            at_close = len(seen)
        await at_rest(llm)
    finally:
        llm._server = server
    # The event loop may have heard of the first token one token late.
    assert len(seen) - at_close <= 2
    assert await answer(llm, FRANCE)


async def test_closing_ends_the_reading_of_a_long_prompt(llm: LlamaCpp) -> None:
    """Nobody is there for the first text, and the prompt has several parts."""
    await at_rest(llm)
    chat = (SYSTEM, ChatMessage("user", "word " * 150))
    before = llm.read_tokens
    reader = asyncio.ensure_future(answer(llm, chat))
    await asyncio.sleep(0)  # until its thread has been started
    assert llm._writing
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await at_rest(llm)
    assert llm.read_tokens - before <= PROMPT_TOKENS_PER_STEP


async def test_the_oldest_turns_go_when_the_chat_is_too_long(llm: LlamaCpp) -> None:
    """And what is left is not read again in each turn."""
    chat = long_chat(6)
    read = []
    for number in range(8):
        read.append(await read_by(llm, chat))
        heard = ChatMessage("assistant", f"It is Paris, number {number}.")
        chat = (*chat, heard, ChatMessage("user", f"And which city is number {number}, please?"))
    assert read[0] > 100
    assert max(read[1:]) < 40


async def test_a_long_chat_that_the_estimate_takes_for_short(llm: LlamaCpp) -> None:
    """Digits are a token each, and are taken for a quarter."""
    turns = [
        ChatMessage(("user", "assistant")[i % 2], " ".join(str(i * 7919 + n) for n in range(6)))
        for i in range(20)
    ]
    chat = (SYSTEM, *turns, FRANCE[1])
    assert await answer(llm, chat)


async def test_a_message_that_does_not_fit(llm: LlamaCpp) -> None:
    for words in (300, 200):  # more than the context, and more than is left for a prompt
        with pytest.raises(EngineError, match=r"llm: the prompt has \d+ tokens; 240 are left"):
            await answer(llm, (SYSTEM, ChatMessage("user", "too long " * words)))
    assert await answer(llm, FRANCE)


async def test_a_deadline_for_the_first_token(with_settings: LlamaCpp) -> None:
    llm = with_settings
    llm._settings = SETTINGS.model_copy(update={"first_token_timeout_s": 0.001})
    with pytest.raises(EngineTimeout, match=r"no text within 0\.001 s"):
        await answer(llm, FRANCE)
    llm._settings = SETTINGS
    assert "Paris" in await answer(llm, FRANCE)


async def test_waiting_for_a_slot_counts_for_the_first_token(with_settings: LlamaCpp) -> None:
    llm = with_settings
    await at_rest(llm)
    taken = [await llm._slots.take(chat) for chat in (FRANCE, MOON)]
    llm._settings = SETTINGS.model_copy(update={"first_token_timeout_s": 0.05})
    with pytest.raises(EngineTimeout, match=r"no text within 0\.05 s"):
        await answer(llm, FRANCE)
    for slot in taken:
        llm._slots.give_back(slot)


async def test_a_deadline_for_every_other_token(with_settings: LlamaCpp) -> None:
    llm = with_settings
    llm._settings = SETTINGS.model_copy(update={"next_token_timeout_s": 0.0001})
    pieces: list[str] = []
    with pytest.raises(EngineTimeout, match=r"no text within 0\.0001 s"):
        async for piece in llm.stream(MOON):
            pieces.append(piece)  # noqa: PERF401 - an error must not lose what came before
    assert pieces


async def test_a_reply_is_bounded(llm: LlamaCpp) -> None:
    chat = (SYSTEM, ChatMessage("user", "Count from one to one hundred, in words."))
    before = llm.written_tokens
    await answer(llm, chat)
    assert llm.written_tokens - before <= SETTINGS.max_new_tokens


async def test_nobody_can_reach_it_over_the_network(llm: LlamaCpp) -> None:
    """llama.cpp's server wants to listen: on a socket whose name is gone."""
    address = str(llm._server.listening_address)
    assert address.startswith("unix://")
    assert not os.path.exists(address.removeprefix("unix://"))  # noqa: ASYNC240 - no disk
    connections = psutil.Process().net_connections("inet")
    assert [found for found in connections if found.status == psutil.CONN_LISTEN] == []


@pytest.mark.parametrize("content", [None, b"not a model"])
async def test_a_file_that_is_no_model(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"llm\.model: .*model\.gguf"):
        LlamaCpp(SETTINGS.model_copy(update={"model": str(path)}))


async def test_it_refuses_work_once_closed() -> None:
    llm = LlamaCpp(SETTINGS)
    assert await answer(llm, FRANCE)
    await llm.aclose()
    with pytest.raises(EngineError, match="has been closed"):
        await answer(llm, FRANCE)


async def test_closing_ends_what_is_being_written() -> None:
    llm = LlamaCpp(SETTINGS)
    stream = llm.stream(MOON)
    await anext(stream)
    await llm.aclose()
    await stream.aclose()
    assert not llm._writing
