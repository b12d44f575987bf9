"""What the packaged voice says for numbers, codes, dates, money, units and addresses."""

import re

import hibari
import pytest

from serve_app.agent.tts.hibari.english import readable
from tests.agent.tts.spoken_english import SOUNDS_LIKE

LEFT_ALONE = [
    "I am 12, he said.",
    "In case 2026 is warm, 2024 was warmer.",
    "She is 5 and he is 10.",
    "We have 1,000 rooms on 9 floors.",
    'He said "I am 12" and left.',
    "Is 0.5 or 05/06/2026 right? At 08:30.",
    "She sat on Mon Repos in Mar Vista.",
    "The sun and the cat sat.",
    "A well-known state-of-the-art all-in-one.",
    "It is 2026-11-27.",
    "$4K, $1.4K and 3.14159",
    "Go 3 or 4 times, C or D.",
    "He ran 5 m in 10 s.",
    "I have 120000 of them.",
]
"""What the rules have no business with. Hibari reads it."""


@pytest.fixture(scope="module")
def plain() -> hibari.Hibari:
    return hibari.Hibari()


def sounds(plain: hibari.Hibari, text: str) -> str:
    """Its phonemes, without stress and pauses."""
    return re.sub(r"[^\w]|[ˈˌ]", "", "".join(plain.phonemize(text)))


@pytest.mark.parametrize(("text", "words"), SOUNDS_LIKE.items())
def test_a_text_sounds_like_its_words(plain: hibari.Hibari, text: str, words: str) -> None:
    assert sounds(plain, readable(text)) == sounds(plain, words)


def test_there_are_a_hundred() -> None:
    assert len(SOUNDS_LIKE) >= 100


def test_hibari_alone_says_many_of_them_wrong(plain: hibari.Hibari) -> None:
    """Or the rules would not be needed."""
    wrong = [
        text for text, words in SOUNDS_LIKE.items() if sounds(plain, text) != sounds(plain, words)
    ]
    assert len(wrong) > 50


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_other_text_is_left_alone(text: str) -> None:
    assert readable(text) == text
