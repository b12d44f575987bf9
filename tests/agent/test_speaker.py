"""LLM and voice together, with both providers over real sockets."""

import asyncio
from contextlib import aclosing

import pytest

from serve_app.agent.engines import Speech
from serve_app.agent.parts import Began, ReplyPart
from serve_app.agent.speaker import pieces
from serve_app.conversation.piece import Piece
from serve_app.conversation.sound import Sound
from serve_app.errors import EngineError
from serve_app.fakes.openai import Ending
from serve_app.fakes.openai import Script as ChatScript
from tests.agent.chains import FORMAT
from tests.agent.speakers import CHAT, NOW_S, speaking


async def test_a_reply_is_text_with_its_audio_in_the_client_format() -> None:
    text = "Hello there, my old friend. It is late."
    async with speaking(ChatScript([text])) as (speaker, _, _):
        parts = [part async for part in speaker.reply(CHAT)]
    spoken = [part for part in parts if isinstance(part, Piece)]
    assert parts == [Began(), *spoken]
    assert "".join(piece.text for piece in spoken) == text
    seconds = sum(piece.duration_s for piece in spoken)
    assert seconds == pytest.approx(len(text) * 0.05, rel=0.1), "the voice says 20 letters a second"
    assert all(len(piece.audio) % 2 == 0 and piece.duration_s <= 0.5 for piece in spoken)


async def test_a_sound_that_cannot_be_made_is_an_error_and_not_silence_for_ever() -> None:
    async with speaking() as (speaker, _, _):
        with pytest.raises(ValueError, match="pcm_-1"):
            async with asyncio.timeout(5):
                assert not [part async for part in speaker.say("Hello.", Sound("", -1))]


async def test_a_client_has_its_own_sample_rate() -> None:
    """Between two replies at the server's rate. The voice speaks at a third rate."""
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
    said = "".join(part.text for part in parts if isinstance(part, Piece))
    assert said == "See the docs, please. \nOne.\nTwo."
    assert "".join(elevenlabs.connections[0].texts).split() == said.split()


@pytest.mark.parametrize("ending", ["think-tags", "think-fields", "think-unclosed", "surrogates"])
async def test_what_is_no_speech_reaches_neither_voice_nor_captions(ending: Ending) -> None:
    """The history has the words of the pieces, and the next prompt those of the history."""
    async with speaking(ChatScript(ending=ending)) as (speaker, _, elevenlabs):
        parts = [part async for part in speaker.reply(CHAT)]
    said = "".join(part.text for part in parts if isinstance(part, Piece))
    assert said.split()[:2] == ["Hello", "there."] and said.encode()
    assert not any(unsaid in said for unsaid in ("think", "greet", "Hm", "\0"))
    assert "".join(elevenlabs.connections[0].texts).split() == said.split()


@pytest.mark.parametrize("ending", ["only-thoughts", "only-tags", "nothing"])
async def test_a_reply_of_nothing_is_an_error_and_not_silence(ending: Ending) -> None:
    async with speaking(ChatScript(ending=ending)) as (speaker, _, _):
        with pytest.raises(EngineError, match="llm: "):
            assert not [part async for part in speaker.reply(CHAT)]


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


def test_pieces_share_the_text_in_proportion() -> None:
    cut = pieces(Speech(b"\0\0" * 44_100, "One two three four. "), FORMAT)
    assert [piece.duration_s for piece in cut] == [0.5, 0.5]
    assert [piece.text for piece in cut] == ["One two th", "ree four. "]


def test_text_without_audio_is_one_piece() -> None:
    assert pieces(Speech(b"", "… "), FORMAT) == [Piece(b"", "… ", 0.0)]


@pytest.mark.parametrize("text", ["😀 👍", ":-)", "```sh\nls -l\n```\n"])
async def test_a_reply_of_nothing_that_can_be_said_is_shown_and_is_an_error(text: str) -> None:
    parts: list[ReplyPart] = []
    async with speaking(ChatScript([text[:2], text[2:]])) as (speaker, _, _):
        with pytest.raises(EngineError, match="tts: nothing in this reply can be said"):
            async with asyncio.timeout(NOW_S):
                async for part in speaker.reply(CHAT):
                    parts.append(part)  # noqa: PERF401 - an error must not lose what came before
    assert parts == [Piece(b"", text.strip(), 0.0, is_said=False)]


async def test_a_reply_in_text_alone_is_as_it_was_written_and_asks_no_voice() -> None:
    chat = ChatScript(["**Yes**: see ", "https://a.io 😀\n", "- one"])
    async with speaking(chat) as (speaker, _, elevenlabs):
        parts = [part async for part in speaker.reply(CHAT, Sound(is_text=True))]
        said = [part async for part in speaker.say("Hello.", Sound(is_text=True))]
    assert parts[0] == Began() and said == [Began(), Piece(b"", "Hello.", 0.0)]
    written = [part for part in parts if isinstance(part, Piece)]
    assert "".join(piece.text for piece in written) == "**Yes**: see https://a.io 😀\n- one"
    assert not any(piece.audio or piece.duration_s for piece in written)
    assert not any(connection.texts for connection in elevenlabs.connections)
