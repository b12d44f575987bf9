# ruff: noqa: RUF001 - phonemes look like other letters
import json
from pathlib import Path

import gruut
import pytest

from serve_app.agent.tts.piper.model import PiperModel
from serve_app.agent.tts.piper.phonemes import Phonemes
from serve_app.errors import ConfigError


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
        PiperModel(describe_voice(tmp_path, **changes), threads=1)


def test_missing_voice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"put the \.onnx file and its \.onnx\.json side by side"):
        PiperModel(str(tmp_path / "none.onnx"), threads=1)
