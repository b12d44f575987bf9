"""Replies that fail, and replies that are interrupted."""

import asyncio
import traceback
from collections.abc import AsyncGenerator, Sequence
from types import CoroutineType

import pytest

from serve_app.agent.engines import LlmEngine
from serve_app.agent.parts import Began, ReplyPart
from serve_app.agent.speaker import Speaker
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.piece import Piece
from serve_app.errors import EngineError
from serve_app.fakes.elevenlabs import FakeElevenLabs
from serve_app.fakes.elevenlabs import Script as VoiceScript
from serve_app.fakes.openai import FakeOpenAi
from serve_app.fakes.openai import Script as ChatScript
from tests.agent.speakers import CHAT, NOW_S, speaking


async def test_what_was_written_before_the_llm_failed_is_spoken() -> None:
    chat = ChatScript(["It is half ", "past"], ending="cut")
    spoken = ""
    async with speaking(chat) as (speaker, _, _):
        with pytest.raises(EngineError) as caught:
            async for part in speaker.reply(CHAT):
                spoken += part.text if isinstance(part, Piece) else ""
    assert caught.value.stage == "llm"
    assert spoken.strip() == "It is half past"


async def test_an_llm_that_fails_at_once_waits_for_no_voice() -> None:
    """ElevenLabs has nothing to say and does not answer."""
    chat, voice = ChatScript(status=401), VoiceScript(sends_final=False)
    async with speaking(chat, voice, 5.0) as (speaker, _, elevenlabs):
        async with asyncio.timeout(NOW_S):
            parts, error = await outcome(speaker)
        assert (parts, error.stage) == ([], "llm")
        await free(None, elevenlabs)


async def test_of_two_failures_the_first_is_raised() -> None:
    chat = ChatScript(["It is half past one. ", "Then"], ending="cut")
    async with speaking(chat, VoiceScript(stall_after=0)) as (speaker, _, _):
        parts, error = await outcome(speaker)
    assert (parts, error.stage) == ([Began()], "llm")


STORY = ChatScript(["Once upon a time, ", "there was a ship. ", "And"], ending="stall")


async def test_the_beginning_of_the_text_is_known_before_its_audio() -> None:
    async with (
        speaking(STORY, VoiceScript(stall_after=0)) as (speaker, openai, elevenlabs),
        asyncio.timeout(NOW_S),
    ):
        parts = speaker.reply(CHAT)
        assert await anext(parts) == Began()
        await parts.aclose()
        await free(openai, elevenlabs)


@pytest.mark.parametrize(
    ("chat", "voice", "began"),
    [
        (ChatScript(is_mute=True), VoiceScript(status=401), False),
        (STORY, VoiceScript(fail_after=0, error={"error": "quota_exceeded"}), True),
        (STORY, VoiceScript(fail_after=2, error={"error": "quota_exceeded"}), True),
    ],
    ids=["before the text", "before the audio", "after the first audio"],
)
async def test_a_voice_that_fails_stops_the_llm(
    chat: ChatScript, voice: VoiceScript, began: bool
) -> None:
    async with speaking(chat, voice) as (speaker, openai, _):
        async with asyncio.timeout(NOW_S):
            parts, error = await outcome(speaker)
        assert (error.stage, parts[:1]) == ("tts", [Began()] if began else [])
        heard = any(isinstance(part, Piece) and part.audio for part in parts)
        assert heard == (voice.fail_after == 2)
        await free(openai)


PHASES = {
    "the LLM is silent": (ChatScript(is_mute=True), VoiceScript()),
    "the voice is silent": (STORY, VoiceScript(stall_after=0)),
    "the voice speaks": (STORY, VoiceScript(chunk_delay_s=0.05)),
    "the voice waits for text": (STORY, VoiceScript()),
    "the LLM has ended": (ChatScript(["Once. ", "Twice. "]), VoiceScript(chunk_delay_s=0.2)),
}


@pytest.mark.parametrize(("chat", "voice"), PHASES.values(), ids=PHASES)
@pytest.mark.parametrize("is_closed", [False, True], ids=["cancelled", "closed"])
async def test_an_interrupt_at_any_time_frees_both_and_leaves_no_task(
    chat: ChatScript, voice: VoiceScript, is_closed: bool
) -> None:
    async with speaking(chat, voice) as (speaker, openai, elevenlabs):
        for delay_s in (0, 0.01, 0.1, 0.3):
            await interrupt(speaker.reply(CHAT), delay_s, is_closed)
            await free(openai, elevenlabs)


async def interrupt(
    parts: AsyncGenerator[ReplyPart, None], delay_s: float, is_closed: bool
) -> None:
    """Cancels the listener, or makes it close the reply at the next part."""
    is_over = asyncio.Event()

    async def listen() -> None:
        async for _ in parts:
            if is_over.is_set():
                return await parts.aclose()

    listener = asyncio.create_task(listen())
    await asyncio.sleep(delay_s)
    is_over.set()
    if is_closed:
        await asyncio.wait({listener}, timeout=0.1)  # there may be no next part
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)


async def test_closing_a_reply_frees_both_providers() -> None:
    chat = ChatScript(["Once upon a time, ", *["and on "] * 200], piece_delay_s=0.02)
    async with speaking(chat) as (speaker, openai, elevenlabs):
        parts = speaker.reply(CHAT)
        async for part in parts:
            if isinstance(part, Piece):
                break
        await parts.aclose()
        await free(openai, elevenlabs)


async def outcome(speaker: Speaker) -> tuple[list[ReplyPart], EngineError]:
    """The parts and the error of a reply that fails."""
    parts: list[ReplyPart] = []
    with pytest.raises(EngineError) as caught:
        async for part in speaker.reply(CHAT):
            parts.append(part)  # noqa: PERF401 - an error must not lose what came before
    return parts, caught.value


async def free(openai: FakeOpenAi | None, elevenlabs: FakeElevenLabs | None = None) -> None:
    """Waits until the providers know that the reply is over and none of its tasks is left."""
    async with asyncio.timeout(NOW_S):
        if openai is not None:
            await openai.idle()
        for connection in elevenlabs.connections if elevenlabs else ():
            for context in connection.contexts.values():
                await context.closed.wait()
        while left := [task for task in asyncio.all_tasks() if is_of_a_reply(task)]:
            await asyncio.wait(left)


def is_of_a_reply(task: "asyncio.Task[object]") -> bool:
    """Sockets have tasks, too, but stay open for the next reply."""
    coroutine = task.get_coro()
    assert isinstance(coroutine, CoroutineType)
    is_of_agent = "/serve_app/agent/" in coroutine.cr_code.co_filename
    return is_of_agent and not coroutine.__qualname__.startswith("ContextSocket.")


async def test_eight_replies_at_once_are_heard_and_interrupted() -> None:
    """At the providers, too. How soon is what `make bench-agent` measures."""
    chat = ChatScript(["Once upon a time, ", *["and on "] * 500], piece_delay_s=0.01)
    voice = VoiceScript(first_audio_delay_s=0.05, chunk_bytes=2_000, chunk_delay_s=0.02)

    async def until_audio(parts: AsyncGenerator[ReplyPart, None]) -> None:
        async for part in parts:
            if isinstance(part, Piece) and part.audio:
                return
        raise AssertionError("the reply ended without audio")

    async with speaking(chat, voice) as (speaker, openai, elevenlabs):
        for _ in range(4):
            openai.requests.clear()
            replies = [speaker.reply(CHAT) for _ in range(8)]
            await asyncio.gather(*map(until_audio, replies))
            contexts = [
                context
                for connection in elevenlabs.connections
                for context in connection.contexts.values()
                if not context.closed.is_set()
            ]
            await asyncio.gather(*(reply.aclose() for reply in replies))
            async with asyncio.timeout(5):
                for request, context in zip(openai.requests, contexts, strict=True):
                    await request.disconnected.wait()
                    await context.closed.wait()


class Surprise(LlmEngine):
    """Fails in a way that nobody has thought of, and quotes the chat."""

    async def stream(self, chat: Sequence[ChatMessage]) -> AsyncGenerator[str, None]:
        raise ValueError(f"cannot read {chat[-1].content}")
        yield ""

    async def aclose(self) -> None:
        pass


async def test_an_error_that_is_not_ours_does_not_quote_the_chat(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What leaves this process in an exception, Serve logs and Ray shows in its dashboard."""
    said = "rose" + "bud"
    async with speaking(ChatScript()) as (speaker, _, _):
        speaker._llm = Surprise()
        with pytest.raises(EngineError) as caught:
            await anext(speaker.reply([ChatMessage("user", said)]))
    shown = "".join(traceback.format_exception(caught.value))
    assert caught.value.message == "ValueError"
    assert "in stream" in caplog.text
    assert said not in shown + caplog.text
