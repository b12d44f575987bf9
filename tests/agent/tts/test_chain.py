"""Voices that fail, and the next one that says the rest, over real sockets."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from serve_app.agent.engines import Speech, TtsEngine
from serve_app.agent.tts.chain import TtsChain
from serve_app.agent.tts.elevenlabs.multi_context import MultiContextVoice
from serve_app.agent.tts.openai_speech import OpenAiSpeech
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.errors import EngineError
from serve_app.fakes.elevenlabs import FakeElevenLabs, Script
from serve_app.fakes.openai import FakeOpenAi, SpeechScript
from serve_app.fakes.tone import SECONDS_PER_CHAR
from serve_app.protocol.formats import parse_format
from serve_app.settings.agent import TtsSettings
from tests.agent.chains import DOWN, FORMAT, Clock, Known, speak, voice_chain
from tests.agent.tts.eleven import audio, collect, joined, say

FIRST_AUDIO_S = 0.3
DEADLINE_S = 3.0
CLAUSES = ["First things first,", " then the others.", " And that is all."]
TEXT = "".join(CLAUSES)


@dataclass
class Two:
    """ElevenLabs' voice, then one behind OpenAI's API."""

    chain: TtsChain
    first: FakeElevenLabs
    second: FakeOpenAi
    known: Known
    speeches: list[Speech] = field(default_factory=list)

    async def reply(self, clauses: AsyncIterator[str], voice: str = "") -> None:
        async with asyncio.timeout(DEADLINE_S):
            await collect(speak(self.chain, clauses, voice), self.speeches)

    @property
    def seconds(self) -> float:
        return FORMAT.seconds(len(audio(self.speeches)))

    @property
    def said_by_second(self) -> list[str]:
        return [request.body["input"] for request in self.second.requests]


def eleven(url: str) -> MultiContextVoice:
    settings = TtsSettings(api_url=url, first_audio_timeout_s=FIRST_AUDIO_S)
    return MultiContextVoice(settings, "xi-hush", parse_format("pcm_22050"))


def openai_voice(url: str) -> OpenAiSpeech:
    settings = TtsSettings(
        provider="generic",
        api_url=url,
        model="m",
        voice="own",
        first_audio_timeout_s=FIRST_AUDIO_S,
    )
    return OpenAiSpeech(settings, "")


@asynccontextmanager
async def two(
    script: Script | None = None, url: str = "", speech: SpeechScript | None = None
) -> AsyncIterator[Two]:
    known = Known()
    async with (
        FakeElevenLabs(script) as first,
        FakeOpenAi(speech=speech) as second,
        voice_chain(
            eleven(url or first.url),
            openai_voice(second.url),
            known=known,
            clock=Clock(),
            own_voices={"b"},
        ) as chain,
    ):
        yield Two(chain, first, second, known)


@pytest.mark.parametrize(
    ("script", "url"),
    [
        (Script(), DOWN),
        (Script(status=401), ""),
        (Script(status=503), ""),
        (Script(stall_after=0), ""),
        (Script(fail_after=0, error={"error": "quota_exceeded"}), ""),
    ],
    ids=["refused", "401", "503", "stall", "quota"],
)
async def test_the_next_voice_speaks(script: Script, url: str) -> None:
    async with two(script, url) as chain:
        await chain.reply(say(*CLAUSES))
        assert joined(chain.speeches) == TEXT
        assert chain.said_by_second == [clause.strip() for clause in CLAUSES]
        letters = sum(map(len, chain.said_by_second))
        assert chain.seconds == pytest.approx(letters * SECONDS_PER_CHAR, abs=0.01), "none is lost"
        assert chain.known.failures == ["a"]
        is_refused = script.status == 401 or script.fail_after == 0
        assert chain.known.available == {"a": not is_refused, "b": True}


async def test_the_first_choice_speaks_while_it_can() -> None:
    async with two() as chain:
        await chain.reply(say(*CLAUSES))
        assert joined(chain.speeches) == TEXT
        assert chain.second.requests == []


async def test_text_that_is_still_being_written_is_not_lost() -> None:
    async with two(url=DOWN) as chain:

        async def written() -> AsyncIterator[str]:
            yield CLAUSES[0]
            await chain.second.reached(1)
            yield CLAUSES[1]

        await chain.reply(written())
        assert joined(chain.speeches) == CLAUSES[0] + CLAUSES[1]
        assert chain.said_by_second == [clause.strip() for clause in CLAUSES[:2]]


async def test_the_rest_is_said_after_the_last_letter_that_was_heard() -> None:
    """ElevenLabs loses its connection in the middle of a word, and then again."""
    script = Script(cut_after=1, chunk_bytes=1_000)
    async with two(script) as chain:
        await chain.reply(say(*CLAUSES))
        assert joined(chain.speeches) == TEXT
        assert len(chain.first.connections) == 2
        rest = "".join(chain.said_by_second).replace(" ", "")
        assert rest and TEXT.replace(" ", "").endswith(rest) and rest != TEXT.replace(" ", "")
        assert chain.seconds == pytest.approx(len(TEXT) * SECONDS_PER_CHAR, abs=0.3)


async def test_after_the_first_audio_only_one_more_voice_is_asked() -> None:
    known = Known()
    async with (
        FakeElevenLabs(Script(cut_after=1, chunk_bytes=1_000)) as first,
        FakeOpenAi(speech=SpeechScript(status=500)) as second,
        FakeOpenAi() as third,
        voice_chain(
            eleven(first.url),
            openai_voice(second.url),
            openai_voice(third.url),
            known=known,
            clock=Clock(),
        ) as chain,
    ):
        with pytest.raises(EngineError, match="HTTP 500"):
            await collect(speak(chain, say(*CLAUSES)), [])
        assert third.requests == []


async def test_a_voice_that_does_not_know_how_far_it_got_is_not_followed_by_another() -> None:
    speech = SpeechScript(ending="cut", chunk_bytes=1_000)
    known, speeches = Known(), list[Speech]()
    async with (
        FakeOpenAi(speech=speech) as first,
        FakeOpenAi() as second,
        voice_chain(
            openai_voice(first.url), openai_voice(second.url), known=known, clock=Clock()
        ) as chain,
    ):
        with pytest.raises(EngineError):
            await collect(speak(chain, say(*CLAUSES)), speeches)
        assert audio(speeches)
        assert second.requests == []


async def test_between_two_clauses_each_voice_knows_how_far_it_got() -> None:
    known, speeches = Known(), list[Speech]()
    async with (
        FakeOpenAi() as first,
        FakeOpenAi() as second,
        voice_chain(
            openai_voice(first.url), openai_voice(second.url), known=known, clock=Clock()
        ) as chain,
    ):

        async def written() -> AsyncIterator[str]:
            yield CLAUSES[0]
            await first.reached(1)
            await first.requests[0].answered.wait()
            first.speech = SpeechScript(status=500)
            yield CLAUSES[1]

        async with asyncio.timeout(DEADLINE_S):
            await collect(speak(chain, written()), speeches)
        assert joined(speeches) == CLAUSES[0] + CLAUSES[1]
        assert [request.body["input"] for request in second.requests] == [CLAUSES[1].strip()]


async def test_the_voice_that_a_client_asks_for_is_none_of_another_provider() -> None:
    script = Script(fail_after=0, error={"error": "invalid_api_key"})
    async with two(script) as chain:
        await chain.reply(say(*CLAUSES), voice="chosen")
        assert "/chosen/" in chain.first.connections[0].path
        assert {request.body["voice"] for request in chain.second.requests} == {"own"}
        assert chain.known.available["a"], "it may be the voice that is refused"


async def test_a_voice_that_was_not_asked_for_is_not_excused_by_the_one_that_was() -> None:
    async with two(url=DOWN, speech=SpeechScript(status=401)) as chain:
        with pytest.raises(EngineError, match="HTTP 401"):
            await chain.reply(say(*CLAUSES), voice="chosen")
        assert not chain.known.available["b"], "its key is wrong, whatever the client chose"


async def test_an_interrupt_frees_the_voice_that_took_over() -> None:
    async with two(url=DOWN, speech=SpeechScript(ending="stall", chunk_bytes=500)) as chain:
        speeches = speak(chain.chain, say(*CLAUSES))
        async with asyncio.timeout(DEADLINE_S):
            async for speech in speeches:
                if speech.audio:
                    break
            await speeches.aclose()
            await chain.second.requests[0].disconnected.wait()
            await chain.second.idle()


async def test_the_socket_is_open_before_the_first_reply() -> None:
    async with two() as chain:
        chain.chain.warm_up()
        async with asyncio.timeout(DEADLINE_S):
            await chain.first.opened.wait()
        await chain.reply(say(*CLAUSES))
        assert len(chain.first.connections) == 1


async def test_a_provider_that_is_down_does_not_disturb_the_warm_up() -> None:
    async with two(url=DOWN) as chain:
        chain.chain.warm_up()
        await chain.reply(say(*CLAUSES))
        assert joined(chain.speeches) == TEXT


class Silent(TtsEngine):
    """A voice that has a sound for nothing but Latin letters."""

    format = FORMAT

    async def speak(
        self, clauses: AsyncIterator[str], sound: Sound = ANY_SOUND
    ) -> AsyncGenerator[Speech, None]:
        async for clause in clauses:
            is_said = clause.isascii() and any(map(str.isalnum, clause))
            yield Speech(b"\0\0" * 100 if is_said else b"", clause, is_said=is_said)

    async def aclose(self) -> None:
        """There is nothing to release."""


@pytest.mark.parametrize("text", ["こんにちは。", "!?"])
async def test_a_reply_without_a_sound_is_an_error_and_not_heard(text: str) -> None:
    speeches: list[Speech] = []
    async with voice_chain(Silent(), known=Known(), clock=Clock()) as chain:
        with pytest.raises(EngineError, match="the voice has no sound for this text"):
            await collect(speak(chain, say(text)), speeches)
    assert speeches == [Speech(b"", text, is_said=False)], "it can be shown"


async def test_what_one_voice_cannot_say_is_said_by_the_next() -> None:
    async with (
        FakeOpenAi() as second,
        voice_chain(Silent(), openai_voice(second.url), known=Known(), clock=Clock()) as chain,
    ):
        speeches: list[Speech] = []
        await collect(speak(chain, say("Привет,", " как дела?")), speeches)
    assert joined(speeches) == "Привет, как дела?"
    assert audio(speeches)


async def test_a_clause_without_a_sound_is_left_out() -> None:
    speeches: list[Speech] = []
    async with voice_chain(Silent(), known=Known(), clock=Clock()) as chain:
        await collect(speak(chain, say("Hello. ", "こんにちは。", "Goodbye.")), speeches)
    assert [(s.text, s.is_said) for s in speeches if s.text] == [
        ("Hello. ", True),
        ("こんにちは。", False),
        ("Goodbye.", True),
    ]


async def test_a_clause_without_a_sound_is_said_by_the_next_voice() -> None:
    known, speeches = Known(), list[Speech]()
    async with (
        FakeOpenAi() as second,
        voice_chain(Silent(), openai_voice(second.url), known=known, clock=Clock()) as chain,
    ):
        await collect(speak(chain, say("Hello. ", "こんにちは。", "!? ", "Goodbye.")), speeches)
    assert joined(speeches) == "Hello. こんにちは。!? Goodbye."
    assert [r.body["input"] for r in second.requests] == ["こんにちは。"]
    assert [s.text for s in speeches if not s.is_said] == ["!? "]
    assert known.failures == []


async def test_a_clause_that_the_next_voice_fails_to_say_is_left_out() -> None:
    known, speeches = Known(), list[Speech]()
    async with (
        FakeOpenAi(speech=SpeechScript(status=500)) as second,
        voice_chain(Silent(), openai_voice(second.url), known=known, clock=Clock()) as chain,
    ):
        await collect(speak(chain, say("Hello. ", "こんにちは。", "Goodbye.")), speeches)
    assert [s.text for s in speeches if not s.is_said] == ["こんにちは。"]
    assert joined(speeches) == "Hello. こんにちは。Goodbye."
    assert known.failures == ["b"]


async def test_a_server_that_sends_nothing_for_a_clause_has_not_said_it() -> None:
    known, speeches = Known(), list[Speech]()
    async with (
        FakeOpenAi(speech=SpeechScript(answer="nothing")) as first,
        FakeOpenAi() as second,
        voice_chain(
            openai_voice(first.url), openai_voice(second.url), known=known, clock=Clock()
        ) as chain,
    ):
        await collect(speak(chain, say(*CLAUSES)), speeches)
    assert joined(speeches) == TEXT
    assert all(speech.is_said for speech in speeches)
    assert [r.body["input"] for r in second.requests] == [clause.strip() for clause in CLAUSES]


async def test_a_silent_provider_is_not_heard() -> None:
    """A provider that answers and sends no audio."""
    speeches: list[Speech] = []
    async with (
        FakeOpenAi() as provider,
        voice_chain(openai_voice(provider.url), known=Known(), clock=Clock()) as chain,
    ):
        with pytest.raises(EngineError, match="the voice has no sound for this text"):
            await collect(speak(chain, say("!?")), speeches)
    assert speeches == [Speech(b"", "!?", is_said=False)]
