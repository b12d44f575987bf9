"""LLM and voice together, over the wire of both providers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from serve_app.agent.engines import Speech
from serve_app.agent.llm.openai_chat import OpenAiChat
from serve_app.agent.parts import Clause, ReplyPart
from serve_app.agent.speaker import Speaker, pieces
from serve_app.agent.tts.elevenlabs.multi_context import MultiContextVoice
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.piece import Piece
from serve_app.conversation.sound import Sound
from serve_app.errors import EngineError
from serve_app.fakes.elevenlabs import FakeElevenLabs
from serve_app.fakes.elevenlabs import Script as VoiceScript
from serve_app.fakes.openai import FakeOpenAi
from serve_app.fakes.openai import Script as ChatScript
from serve_app.protocol.formats import parse_format
from serve_app.settings.schema import LlmSettings, TtsSettings
from tests.agent.chains import FORMAT, Clock, Known, voice_chain

CHAT = [ChatMessage("user", "Hello!")]


@asynccontextmanager
async def speaking(
    chat: ChatScript | None = None, voice: VoiceScript | None = None
) -> AsyncIterator[tuple[Speaker, FakeOpenAi, FakeElevenLabs]]:
    async with FakeOpenAi(chat) as openai, FakeElevenLabs(voice) as elevenlabs:
        chat_settings = LlmSettings(provider="generic", model="m", api_url=openai.url)
        voice_settings = TtsSettings(api_url=elevenlabs.url, first_audio_timeout_s=1)
        async with (
            aclosing(OpenAiChat(chat_settings, "")) as llm,
            voice_chain(
                MultiContextVoice(voice_settings, "k", parse_format("pcm_22050")),
                known=Known(),
                clock=Clock(),
            ) as voices,
        ):
            yield Speaker(llm, voices, FORMAT), openai, elevenlabs


async def test_a_reply_is_clauses_and_their_audio_in_the_client_format() -> None:
    text = "Hello there, my old friend. It is late."
    async with speaking(ChatScript([text])) as (speaker, _, _):
        parts = [part async for part in speaker.reply(CHAT)]
    clauses = [part.text for part in parts if isinstance(part, Clause)]
    spoken = [part for part in parts if isinstance(part, Piece)]
    assert "".join(clauses) == "".join(piece.text for piece in spoken) == text
    seconds = sum(piece.duration_s for piece in spoken)
    assert seconds == pytest.approx(len(text) * 0.05, rel=0.1), "the voice says 20 letters a second"
    assert all(len(piece.audio) % 2 == 0 and piece.duration_s <= 0.5 for piece in spoken)


async def test_a_sound_that_cannot_be_made_is_an_error_and_not_silence_for_ever() -> None:
    async with speaking() as (speaker, _, _):
        with pytest.raises(ValueError, match="pcm_-1"):
            async with asyncio.timeout(5):
                assert not [part async for part in speaker.say("Hello.", Sound("", -1))]


async def test_a_client_has_its_own_sample_rate() -> None:
    """Between two replies at the server's rate; the voice speaks at a third one."""
    lengths = []
    async with speaking(ChatScript(["It is late."])) as (speaker, _, _):
        for sound in (Sound(), Sound("nova", 16_000), Sound()):
            parts = [part async for part in speaker.reply(CHAT, sound)]
            spoken = [part for part in parts if isinstance(part, Piece)]
            lengths.append(sum(len(piece.audio) for piece in spoken))
            assert sum(piece.duration_s for piece in spoken) == pytest.approx(0.55, rel=0.1)
    assert lengths[1] / lengths[0] == pytest.approx(16_000 / 44_100, rel=0.02)
    assert lengths[0] == lengths[2]


async def test_what_is_recorded_of_markdown_is_what_was_said() -> None:
    chat = ChatScript(
        ["See [the do", "cs](https://a.io/x), **pl", "ease** 😀. \n\n- O", "ne\n- Two"]
    )
    async with speaking(chat) as (speaker, _, elevenlabs):
        parts = [part async for part in speaker.reply(CHAT)]
    said = "".join(part.text for part in parts if isinstance(part, Clause))
    assert said == "See the docs, please. \nOne.\nTwo."
    assert "".join(part.text for part in parts if isinstance(part, Piece)) == said
    assert "".join(elevenlabs.connections[0].texts).split() == said.split()


async def test_the_voice_begins_while_the_llm_still_writes() -> None:
    chat = ChatScript(["First things first. ", "Then"], ending="stall")
    async with (
        asyncio.timeout(5),  # the LLM would be given up after 5 s more
        speaking(chat) as (speaker, _, _),
        aclosing(speaker.reply(CHAT)) as parts,
    ):
        async for part in parts:
            if isinstance(part, Piece) and part.audio:
                break
        else:
            pytest.fail("the reply ended without audio")


async def test_what_was_written_before_the_llm_failed_is_spoken() -> None:
    chat = ChatScript(["It is half ", "past"], ending="cut")
    spoken = ""
    async with speaking(chat) as (speaker, _, _):
        with pytest.raises(EngineError) as caught:
            async for part in speaker.reply(CHAT):
                spoken += part.text if isinstance(part, Piece) else ""
    assert caught.value.stage == "llm"
    assert spoken.strip() == "It is half past"


async def test_a_failed_voice_ends_the_reply() -> None:
    voice = VoiceScript(fail_after=1, error={"error": "quota_exceeded"})
    async with speaking(voice=voice) as (speaker, _, _):
        with pytest.raises(EngineError) as caught:
            async for _ in speaker.reply(CHAT):
                pass
    assert caught.value.stage == "tts"


async def test_closing_a_reply_frees_both_providers() -> None:
    chat = ChatScript(["Once upon a time, ", *["and on "] * 200], piece_delay_s=0.02)
    async with speaking(chat) as (speaker, openai, elevenlabs):
        parts = speaker.reply(CHAT)
        async for part in parts:
            if isinstance(part, Piece):
                break
        await parts.aclose()
        async with asyncio.timeout(2):
            await openai.requests[0].disconnected.wait()
            (context,) = elevenlabs.connections[0].contexts.values()
            await context.closed.wait()


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[round(share * len(values)) - 1]


async def test_eight_replies_at_once_are_heard_and_interrupted_without_delay() -> None:
    """Both delays are measured at the providers' side of the wire."""
    chat = ChatScript(["Once upon a time, ", *["and on "] * 500], piece_delay_s=0.01)
    voice = VoiceScript(first_audio_delay_s=0.05, chunk_bytes=2_000, chunk_delay_s=0.02)
    clock = asyncio.get_running_loop().time
    to_audio_s: list[float] = []
    to_free_s: list[float] = []

    async def until_audio(parts: AsyncGenerator[ReplyPart, None]) -> float:
        async for part in parts:
            if isinstance(part, Piece) and part.audio:
                return clock()
        raise AssertionError("the reply ended without audio")

    async with speaking(chat, voice) as (speaker, openai, elevenlabs):
        for _ in range(4):
            openai.requests.clear()
            replies = [speaker.reply(CHAT) for _ in range(8)]
            heard_s = await asyncio.gather(*map(until_audio, replies))
            contexts = [
                context
                for connection in elevenlabs.connections
                for context in connection.contexts.values()
                if not context.closed.is_set()
            ]
            sent_s = [context.first_audio_at_s for context in contexts]
            # Which reply has which context is not known; in order they have the least sum.
            to_audio_s += [h - s for h, s in zip(sorted(heard_s), sorted(sent_s), strict=True)]
            started_s = clock()
            await asyncio.gather(*(reply.aclose() for reply in replies))
            async with asyncio.timeout(5):
                for request, context in zip(openai.requests, contexts, strict=True):
                    await request.disconnected.wait()
                    await context.closed.wait()
            to_free_s += [r.disconnected_at_s - started_s for r in openai.requests]
            to_free_s += [c.closed_at_s - started_s for c in contexts]
    assert percentile(to_free_s, 0.95) < 0.1
    assert percentile(to_audio_s, 0.5) < 0.03


def test_pieces_share_the_text_in_proportion() -> None:
    cut = pieces(Speech(b"\0\0" * 44_100, "One two three four. "), FORMAT)
    assert [piece.duration_s for piece in cut] == [0.5, 0.5]
    assert [piece.text for piece in cut] == ["One two th", "ree four. "]


def test_text_without_audio_is_one_piece() -> None:
    assert pieces(Speech(b"", "… "), FORMAT) == [Piece(b"", "… ", 0.0)]
