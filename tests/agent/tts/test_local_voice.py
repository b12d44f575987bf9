"""The voices that run in this process: hibari, and Piper's joe."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import numpy as np
import pytest

from serve_app.agent.engines import Speech, TtsEngine
from serve_app.agent.factory import build_tts
from serve_app.errors import EngineTimeout
from serve_app.settings.agent import JOE, TtsSettings
from serve_app.settings.base import PACKAGED
from tests.agent.chains import Clock, Known, speak, voice_chain

pytestmark = pytest.mark.models

RATES = {PACKAGED: "pcm_24000", JOE: "pcm_22050"}
CLAUSES = ["Sure,", " the capital of France is Paris.", " 😀 ", "Shall we go there?\n"]
UNSAID = ["!?", "😀", "こんにちは。", "Привет, как дела?", "مرحبا"]


def build(**settings: object) -> TtsEngine:
    return build_tts(TtsSettings.model_validate({"provider": "local", **settings}), {})


async def say(*clauses: str) -> AsyncIterator[str]:
    for clause in clauses:
        yield clause


async def collect(speeches: AsyncGenerator[Speech, None]) -> list[Speech]:
    return [speech async for speech in speeches]


@pytest.fixture(params=RATES)
async def voice(request: pytest.FixtureRequest) -> AsyncIterator[TtsEngine]:
    voice = build(voice=request.param)
    voice.warm_up()
    assert voice.format.name == RATES[request.param]
    yield voice
    await voice.aclose()


async def test_each_clause_becomes_speech(voice: TtsEngine) -> None:
    speeches = await collect(voice.speak(say(*CLAUSES)))
    assert [s.text for s in speeches] == CLAUSES
    seconds = [voice.format.seconds(len(s.audio)) for s in speeches]
    assert 0.3 < seconds[0] < 1.2
    assert 1.3 < seconds[1] < 3.0
    assert seconds[2] == 0
    assert 0.6 < seconds[3] < 2.0
    samples = np.frombuffer(b"".join(s.audio for s in speeches), dtype="<i2").astype(np.float64)
    assert 500 < np.sqrt(np.mean(samples**2)) < 10_000


@pytest.mark.parametrize("text", UNSAID)
async def test_text_without_a_sound_is_not_said(voice: TtsEngine, text: str) -> None:
    speeches = await collect(voice.speak(say("Hello.", text, "Goodbye.")))
    assert [(s.is_said, bool(s.audio)) for s in speeches] == [
        (True, True),
        (False, False),
        (True, True),
    ]


async def test_loop_is_free_during_synthesis(voice: TtsEngine) -> None:
    turns = 0
    text = "This sentence takes its time, and then it takes some more of it."
    speech = asyncio.create_task(collect(voice.speak(say(text))))
    while not speech.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5


async def test_replies_take_turns(voice: TtsEngine) -> None:
    order: list[str] = []

    async def note(name: str) -> None:
        async for _ in voice.speak(say("One.", "Two.", "Three.")):
            order.append(name)  # noqa: PERF401 - the order of events is the point

    await asyncio.gather(note("a"), note("b"))
    assert order == ["a", "b", "a", "b", "a", "b"]


async def test_closing_stops(voice: TtsEngine) -> None:
    taken: list[int] = []

    async def endless() -> AsyncIterator[str]:
        while True:
            taken.append(len(taken))
            yield "Another clause."

    speeches = voice.speak(endless())
    await anext(speeches)
    await speeches.aclose()
    await collect(voice.speak(say("What was queued before this has been done by now.")))
    assert taken == [0]


async def test_synthesis_has_a_deadline() -> None:
    voice = build(first_audio_timeout_s=0.001)
    with pytest.raises(EngineTimeout, match=r"no audio within 0\.001 s"):
        await collect(voice.speak(say("Too late.")))
    await voice.aclose()


async def test_the_local_voice_is_not_heard_saying_what_it_cannot(voice: TtsEngine) -> None:
    """In the middle of a reply such a clause is left out, in audio and history alike."""
    async with voice_chain(voice, known=Known(), clock=Clock()) as chain:
        speeches = await collect(speak(chain, say("Hello. ", "こんにちは。", "Goodbye.")))
    said = "".join(speech.text for speech in speeches if speech.is_said)
    assert said == "Hello. Goodbye."
