"""The packaged voice: what it says, and how its clauses join."""

import hibari
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.agent.tts.hibari import model as hibari_model
from serve_app.agent.tts.hibari.english import readable
from serve_app.agent.tts.hibari.model import HibariModel
from serve_app.agent.tts.resample import PcmResampler
from serve_app.errors import ConfigError

CASES = [
    ("10K and 10k", "10 thousand and 10 thousand"),
    ("2½ or 1 1/2", "2 and one half or 1 and one half"),
    ("24/7", "24 7"),
    ("~5, ≈5", "about 5, about 5"),
    ("2*3", "2 times 3"),
    ("bob@example.com", "bob@example dot com"),
    ("www.example.com", "example dot com"),
    ("2.4.1", "2 point 4 point 1"),
    ("192.168.0.1", "192 dot 168 dot 0 dot 1"),
    ("10.000.000", "10,000,000"),
    ("C#", "C sharp"),
    ("CO2", "C O 2"),
    ("3 m/s", "3 meters per second"),
    ("−5 degrees", "minus 5 degrees"),  # noqa: RUF001
    ("5 ≤ 6 ≥ 4", "5 at most 6 at least 4"),
    ("No. 5", "Number 5"),
    ("5€ or 10 $", "5 euros or 10 dollars"),
    ("(555) 123-4567", "5 5 5, 1 2 3, 4 5 6 7"),
    ("1-800-555-1234", "1, 8 0 0, 5 5 5, 1 2 3 4"),
    ("1234567890123456", "1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6"),
    ("[see](/page/)", "[see] (/page/)"),
    ("a -> b", "a, b"),
    ("привет, π", " , π"),
]
SILENCE = 5e-4


@pytest.fixture(scope="module")
def voice() -> HibariModel:
    return HibariModel()


@pytest.fixture(scope="module")
def plain() -> hibari.Hibari:
    return hibari.Hibari()


@pytest.mark.parametrize(("text", "words"), CASES)
def test_symbols_become_words(text: str, words: str) -> None:
    assert readable(text) == words


@pytest.mark.parametrize(("text", "words"), CASES)
def test_hibari_would_say_something_else(plain: hibari.Hibari, text: str, words: str) -> None:
    """Fails for a rule that a newer hibari does not need."""
    assert spoken(plain, text) != spoken(plain, words)


def spoken(plain: hibari.Hibari, text: str) -> list[str] | None:
    try:
        phonemes: list[str] = plain.phonemize(text)
    except IndexError:  # it has no word for so large a number
        return None
    return phonemes


@pytest.mark.parametrize(
    "text",
    [
        "It costs $3.50 on 3/4/2026 at 10:30.",
        "$5.50 at 3:30 p.m. on 5/6/2024 or 2024-01-05",
        "The 1st, e.g. Mr. Smith of the U.S., pays 1,000 dollars.",
        "Call 555-1234 & ask... okay?",
        "20°C, 25 %, $2.5 million, €3M, 5 km at 3.5 km/h, 16GB, AT&T, #1, 5-10, 1/3, ¾",
    ],
)
def test_what_hibari_knows_is_left_alone(text: str) -> None:
    assert readable(text) == text


@settings(max_examples=200, deadline=None)
@given(
    st.text(
        st.characters(max_codepoint=0x2FF) | st.sampled_from("0123456789.,-/:$%½²①日"), max_size=30
    )
)
def test_no_text_is_an_error(voice: HibariModel, text: str) -> None:
    voice._phonemes(readable(text))


@pytest.mark.parametrize("text", ["1e999 apples", "9" * 400, "①² apples", "[[ <b> apples"])
def test_strange_text_is_no_error(voice: HibariModel, text: str) -> None:
    assert voice.samples(text).size


def seconds_of_silence(samples: np.ndarray, rate_hz: int) -> tuple[float, float]:
    """Before and after the speech."""
    loud = np.flatnonzero(np.abs(samples) > SILENCE)
    return loud[0] / rate_hz, (len(samples) - loud[-1]) / rate_hz


@pytest.mark.parametrize(
    ("clause", "pause_s"),
    [("Yes, ", 0.15), ("How can I help you today? ", 0.3), ("at the end of the day ", 0.03)],
)
def test_a_clause_begins_at_once_and_ends_with_a_pause(
    voice: HibariModel, clause: str, pause_s: float
) -> None:
    """The model itself puts 0.3 s before each text, and up to 0.5 s after it."""
    before, after = seconds_of_silence(voice.samples(clause), voice.rate_hz)
    assert before < 0.05
    assert pause_s - 0.01 < after < pause_s + 0.06


def test_the_same_text_gives_the_same_audio(voice: HibariModel) -> None:
    first, second = (voice.samples("Shall we go there?") for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_resampling_to_the_clients_rate_keeps_the_voice(voice: HibariModel) -> None:
    """24 to 44.1 kHz, clause by clause, and back."""
    clauses = [voice.samples(text) for text in ("Yes, ", "of course. ", "What time suits you?")]
    speech = np.concatenate(clauses)
    up = PcmResampler(voice.rate_hz, 44_100)
    pcm = [(clause * 32767).astype("<i2").tobytes() for clause in clauses]
    raised = b"".join([*(up.push(part) for part in pcm), up.push(b"", last=True)])
    back = PcmResampler(44_100, voice.rate_hz).push(raised, last=True)
    again = np.frombuffer(back, dtype="<i2").astype(np.float32)[: len(speech)] / 32767
    assert abs(len(raised) / 2 / 44_100 - len(speech) / voice.rate_hz) < 0.001
    assert 10 * np.log10(power(speech[: len(again)]) / power(again - speech[: len(again)])) > 50


def power(samples: np.ndarray) -> float:
    """Up to 10 kHz: above, the filter begins."""
    spectrum = np.fft.rfft(samples)[: len(samples) * 10_000 // HibariModel.rate_hz]
    return float(np.sum(np.abs(spectrum) ** 2))


def test_another_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hibari_model, "_SHA256", "0" * 64)
    with pytest.raises(ConfigError, match=r"hibari\.onnx is not the file that was reviewed"):
        HibariModel()
