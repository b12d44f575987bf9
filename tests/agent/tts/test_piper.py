# ruff: noqa: RUF001 - phonemes look like other letters
import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import gruut
import numpy as np
import pytest

from serve_app.agent.engines import Speech
from serve_app.agent.tts.piper.phonemes import Phonemes
from serve_app.agent.tts.piper.voice import PiperVoice
from serve_app.errors import ConfigError, EngineTimeout
from serve_app.settings.agent import TtsSettings

CLAUSES = ["Sure,", " the capital of France is Paris.", " 😀 ", "Shall we go there?\n"]


@pytest.fixture(scope="module")
def phonemes() -> Phonemes:
    return Phonemes("en-us")


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("Sure,", ["ʃˈʊɹ,"]),
        (" The capital of France is Paris.", ["ðə kˈæpɪɾəl ʌv fɹˈæns ɪz pˈæɹɪs."]),
        ("Really? Yes!", ["ɹˈiəli?", "jˈɛs!"]),
        ("3...", ["θɹˈiː."]),
    ],
)
def test_phonemes_are_those_of_espeak(phonemes: Phonemes, text: str, symbols: list[str]) -> None:
    assert list(phonemes.of(text)) == symbols


@pytest.mark.parametrize("text", ["", " \n", "...", "😀!?", "日本語", "\x00"])
def test_text_without_words_has_no_phonemes(phonemes: Phonemes, text: str) -> None:
    assert list(phonemes.of(text)) == []


@pytest.mark.parametrize("text", ["1e999 apples", "1e999", "<b> apples", "½ apples & [[", "²"])
def test_strange_text_is_no_error(phonemes: Phonemes, text: str) -> None:
    symbols = "".join(phonemes.of(text))
    assert ("ˈæpəlz" in symbols) == ("apples" in text)


def test_index_changes_no_pronunciation(phonemes: Phonemes) -> None:
    text = "I live near a live band, Dr. Smith's co-op reads what O'Neil read: naïve GPUs, xyzzy."
    expected = [
        "".join("".join(word.phonemes) for word in sentence if word.is_spoken and word.phonemes)
        for sentence in gruut.sentences(text, lang="en-us", espeak=True)
    ]
    spoken = ["".join(s for s in sentence if s not in " ,.:") for sentence in phonemes.of(text)]
    assert spoken == expected


def describe_voice(directory: Path, **changes: object) -> str:
    """A voice description that is valid except for `changes`, beside an invalid .onnx file."""
    config = {
        "audio": {"sample_rate": 22_050},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "num_speakers": 1,
        "phoneme_id_map": {"_": [0], "^": [1], "$": [2]},
    }
    onnx = directory / "voice.onnx"
    onnx.write_bytes(b"no model")
    (directory / "voice.onnx.json").write_text(json.dumps(config | changes))
    return str(onnx)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"onnxruntime cannot load .*voice\.onnx"),
        ({"espeak": {"voice": "xx"}}, r"no espeak phonemes for 'xx'; installed: en-gb, en-us"),
        ({"num_speakers": 4}, r"has 4 speakers; take one with"),
        ({"phoneme_type": "pinyin"}, r"uses pinyin phonemes"),
        ({"audio": {}}, r"not a readable Piper voice description \(ValidationError\)"),
    ],
)
def test_unusable_voice_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        PiperVoice(TtsSettings(voice=describe_voice(tmp_path, **changes)))


def test_missing_voice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"put the \.onnx file and its \.onnx\.json side by side"):
        PiperVoice(TtsSettings(voice=str(tmp_path / "none.onnx")))


async def say(*clauses: str) -> AsyncIterator[str]:
    for clause in clauses:
        yield clause


async def collect(speeches: AsyncGenerator[Speech, None]) -> list[Speech]:
    return [speech async for speech in speeches]


@pytest.fixture
async def piper() -> AsyncIterator[PiperVoice]:
    voice = PiperVoice(TtsSettings())
    yield voice
    await voice.aclose()


@pytest.mark.models
async def test_each_clause_becomes_speech(piper: PiperVoice) -> None:
    speeches = await collect(piper.speak(say(*CLAUSES)))

    assert piper.format.name == "pcm_22050"
    assert [s.text for s in speeches] == CLAUSES
    seconds = [piper.format.seconds(len(s.audio)) for s in speeches]
    assert 0.3 < seconds[0] < 1.2
    assert 1.3 < seconds[1] < 3.0
    assert seconds[2] == 0
    assert 0.6 < seconds[3] < 2.0
    samples = np.frombuffer(b"".join(s.audio for s in speeches), dtype="<i2").astype(np.float64)
    assert 500 < np.sqrt(np.mean(samples**2)) < 10_000


@pytest.mark.models
async def test_loop_is_free_during_synthesis(piper: PiperVoice) -> None:
    piper.warm_up()
    turns = 0
    speech = asyncio.create_task(collect(piper.speak(say("This sentence takes its time."))))
    while not speech.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5


@pytest.mark.models
async def test_replies_take_turns(piper: PiperVoice) -> None:
    order: list[str] = []

    async def note(name: str) -> None:
        async for _ in piper.speak(say("One.", "Two.", "Three.")):
            order.append(name)  # noqa: PERF401 - the order of events is the point

    await asyncio.gather(note("a"), note("b"))
    assert order == ["a", "b", "a", "b", "a", "b"]


@pytest.mark.models
async def test_closing_stops(piper: PiperVoice) -> None:
    taken: list[int] = []

    async def endless() -> AsyncIterator[str]:
        while True:
            taken.append(len(taken))
            yield "Another clause."

    speeches = piper.speak(endless())
    await anext(speeches)
    await speeches.aclose()
    await collect(piper.speak(say("What was queued before this has been done by now.")))
    assert taken == [0]


@pytest.mark.models
async def test_synthesis_has_a_deadline() -> None:
    voice = PiperVoice(TtsSettings(first_audio_timeout_s=0.001))
    with pytest.raises(EngineTimeout, match=r"no audio within 0\.001 s"):
        await collect(voice.speak(say("Too late.")))
    await voice.aclose()
