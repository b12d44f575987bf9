"""The text of a reply, while it is written and read."""

import asyncio

import pytest

from serve_app.agent.text.reply_text import MAX_REPLY_CHARS, ClauseReader, ReplyText
from serve_app.errors import EngineError
from serve_app.protocol.limits import DEFAULT_FRAMES

DEADLINE_S = 2.0


async def rest(reader: ClauseReader) -> list[str]:
    async with asyncio.timeout(DEADLINE_S):
        return [clause async for clause in reader]


async def test_clauses_are_read_as_soon_as_they_are_written() -> None:
    text = ReplyText()
    reader = text.after()
    text.write("First things first. Th")
    assert await anext(reader) == "First things first. "
    waiting = asyncio.create_task(anext_of(reader))
    await asyncio.sleep(0)
    assert not waiting.done()
    text.write("en **the** others.\n")
    assert await waiting == "Then the others.\n"
    text.end()
    assert await rest(reader) == []


async def anext_of(reader: ClauseReader) -> str:
    return await anext(reader)


async def test_a_wait_that_is_cancelled_loses_nothing() -> None:
    text = ReplyText()
    reader = text.after()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(reader)
    text.write("It is late.")
    text.end()
    assert await rest(reader) == ["It is late."]


async def test_another_voice_goes_on_in_the_middle_of_a_clause() -> None:
    text = ReplyText()
    text.write("One, two. Three.\n")
    first, second = text.after(), text.after(len("One, tw"))
    text.end()
    assert await rest(first) == ["One, ", "two. ", "Three.\n"]
    assert await rest(second) == ["o. ", "Three.\n"]


async def test_voices_that_wait_at_the_same_time_are_all_served() -> None:
    text = ReplyText()
    readers = [asyncio.create_task(rest(text.after())) for _ in range(3)]
    await asyncio.sleep(0)
    text.write("It is late.")
    text.end()
    assert await asyncio.gather(*readers) == [["It is late."]] * 3


@pytest.mark.parametrize(("written", "is_there"), [("Yes, ", True), ("```\ncode\n```\n", False)])
async def test_whether_there_is_anything_to_say(written: str, is_there: bool) -> None:
    text = ReplyText()
    text.write(written)
    assert not (text.has_begun or text.is_empty or text.begun.done())
    text.end()
    assert (text.has_begun, text.is_empty, await text.begun) == (is_there, not is_there, is_there)


async def test_what_was_written_before_a_failure_is_read() -> None:
    text = ReplyText()
    text.write("It is half past")
    text.end(failure := EngineError("llm", "gone"))
    assert await rest(text.after()) == ["It is half past"]
    assert text.failure is failure


async def test_no_llm_can_fill_the_memory() -> None:
    text = ReplyText()
    for _ in range(MAX_REPLY_CHARS // 10):
        text.write("`````````\n")
    with pytest.raises(EngineError, match="exceeds"):
        text.write("x")


async def test_a_greeting_may_be_as_long_as_the_protocol_allows() -> None:
    text = ReplyText()
    text.write("Well. " * (DEFAULT_FRAMES.text_bytes // 6))
    text.end()
    assert len("".join(await rest(text.after()))) > MAX_REPLY_CHARS
