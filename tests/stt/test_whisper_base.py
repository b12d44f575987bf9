"""The multilingual Whisper that can be fetched. No speech in another language is stored here, so
these tests speak English; `make bench-stt-models` has Spanish and Japanese."""

import numpy as np
import pytest

from serve_app.errors import EngineError
from serve_app.settings.schema import WHISPER_BASE, SttSettings
from serve_app.stt.job import Heard
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.transcriber import WhisperEngine
from tests.speech import clip, transcript, word_error_rate

pytestmark = [pytest.mark.models, pytest.mark.timeout(240)]

CLIPS = ("librivox_0870", "librivox_0930", "go_forward")


@pytest.fixture(scope="module")
def engine() -> WhisperEngine:
    return WhisperEngine(SttSettings(model=WHISPER_BASE, language="auto", device="cpu", threads=1))


@pytest.mark.parametrize("language", ["", "auto", "en-US"])
def test_the_language_is_told_or_found_out(engine: WhisperEngine, language: str) -> None:
    """Told and not, in one batch."""
    code = engine.check_language(language)
    assert code == ("en" if language == "en-US" else "auto")
    batch = [Utterance(clip(name), code) for name in CLIPS]
    texts = engine.transcribe_now([*batch, Utterance(clip("go_forward"), "en")])
    for name, text in zip([*CLIPS, "go_forward"], texts, strict=True):
        assert word_error_rate(transcript(name), text) <= 0.2, text


def test_the_language_is_said_with_the_text(engine: WhisperEngine) -> None:
    batch = [Utterance(clip("go_forward"), "auto"), Utterance(clip("go_forward"), "es")]
    silence = Utterance(np.zeros(16_000, dtype=np.float32), "auto")
    steps = engine.transcribe([*batch, silence])
    heard: list[Heard] = []
    while not heard:
        try:
            next(steps)
        except StopIteration as done:
            heard = done.value
    assert [each.language for each in heard] == ["en", "es", ""]


def test_another_language_is_written_if_it_is_told(engine: WhisperEngine) -> None:
    (text,) = engine.transcribe_now([Utterance(clip("librivox_0930"), engine.check_language("es"))])
    assert word_error_rate(transcript("librivox_0930"), text) > 0.5, text


def test_a_language_that_whisper_does_not_know(engine: WhisperEngine) -> None:
    with pytest.raises(EngineError, match="language 'xx' is not known to the model: af, am"):
        engine.check_language("xx")
