"""What gruut says only with the help of `readable`."""

import gruut
import pytest

from serve_app.agent.tts.piper.english import readable
from serve_app.agent.tts.piper.phonemes import Phonemes

CASES = [
    ("20°C or 50 °F, 10°", "20 degrees Celsius or 50 degrees Fahrenheit, 10 degrees"),
    ("25 % and 20%", "25 percent and 20 percent"),
    ("$2.5 million, €3M, ¥700", "2.5 million dollars, 3 million euros, 700 yen"),
    ("5 km at 3.5 km/h, 16GB", "5 kilometers at 3.5 kilometers per hour, 16 gigabytes"),
    ("10K", "10 thousand"),
    ("2½ or 1 1/2 or ¾", "2 and one half or 1 and one half or three quarters"),
    ("24/7", "24 7"),
    ("5-10", "5 to 10"),
    ("#1 is ~5", "number 1 is about 5"),
    ("2*3 = 6, 2 + 3 < 6", "2 times 3 equals 6, 2 plus 3 less than 6"),
    ("AT&T", "A T and T"),
    ("and/or", "and or"),
    ("bob@example.com", "bob at example dot com"),
    ("a → b", "a, b"),
]


@pytest.mark.parametrize(("text", "words"), CASES)
def test_symbols_become_words(text: str, words: str) -> None:
    assert readable(text) == words


@pytest.mark.parametrize(("text", "words"), CASES)
def test_gruut_would_say_something_else(text: str, words: str) -> None:
    """Fails for a rule that a newer gruut does not need."""
    assert _spoken(text) != _spoken(words)


@pytest.mark.parametrize(
    "text",
    [
        "$5.50 at 3:30 p.m. on 5/6/2024 or 2024-01-05",
        "The 1st, e.g. Mr. Smith of the U.S., pays 1,000 dollars.",
        "Call 555-1234 & ask... okay?",
    ],
)
def test_what_gruut_knows_is_left_alone(text: str) -> None:
    assert readable(text) == text


def test_the_voice_says_the_words() -> None:
    phonemes = Phonemes("en-us")
    assert list(phonemes.of("20°C")) == list(phonemes.of("20 degrees Celsius"))


def _spoken(text: str) -> list[str]:
    sentences = gruut.sentences(text, lang="en-us", espeak=True)
    return ["".join(word.phonemes) for sentence in sentences for word in sentence if word.phonemes]
