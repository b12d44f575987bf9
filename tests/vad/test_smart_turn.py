"""The end-of-turn model on recorded speech."""

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from serve_app.client.speech import trim
from serve_app.conversation.settings import SAMPLE_RATE_HZ, SMART_TURN_WINDOW_S
from serve_app.protocol.messages import Samples
from serve_app.vad.smart_turn import SmartTurn, features
from tests.speech import TRANSCRIPTS, clip

pytestmark = pytest.mark.models

SENTENCES = [name for name in TRANSCRIPTS if name.startswith("librivox")]
"""Half of a sentence that is read is not a sentence; half of "eight of spades" may be all."""
WINDOW_SAMPLES = SMART_TURN_WINDOW_S * SAMPLE_RATE_HZ
SILENCE = np.zeros(SAMPLE_RATE_HZ // 5, dtype=np.float32)
"""0.2 s, about the silence after which the model is asked."""


@pytest.fixture(scope="module")
def smart_turn() -> SmartTurn:
    return SmartTurn()


def reference(samples: Samples) -> Samples:
    """The features as Smart Turn's authors make them."""
    extract = WhisperFeatureExtractor(chunk_length=SMART_TURN_WINDOW_S)
    window = np.pad(samples, (max(0, WINDOW_SAMPLES - len(samples)), 0))[-WINDOW_SAMPLES:]
    inputs = extract(window, sampling_rate=SAMPLE_RATE_HZ, do_normalize=True, return_tensors="np")
    expected: Samples = inputs.input_features[0]
    return expected


def noise(seconds: float) -> Samples:
    count = round(seconds * SAMPLE_RATE_HZ)
    return np.random.default_rng(0).normal(0, 0.1, count).astype(np.float32)


@pytest.mark.parametrize(
    "samples",
    [
        *(pytest.param(clip(name), id=name) for name in TRANSCRIPTS),
        pytest.param(noise(0.1), id="0.1 s of noise"),
        pytest.param(noise(SMART_TURN_WINDOW_S), id="a full window"),
        pytest.param(np.concatenate((noise(4), clip("librivox_0870"))), id="more than a window"),
    ],
)
def test_the_features_are_those_of_the_reference(samples: Samples) -> None:
    heard = features(samples)
    assert heard.shape == (80, 800)
    assert heard.dtype == np.float32
    assert heard == pytest.approx(reference(samples), abs=1e-4)


def test_whole_sentences_are_more_complete_than_their_first_halves(smart_turn: SmartTurn) -> None:
    whole = [trim(clip(name)) for name in SENTENCES]
    halves = [speech[: len(speech) // 2] for speech in whole]

    def score(parts: list[Samples]) -> float:
        return float(np.mean([smart_turn.judge(np.concatenate((p, SILENCE))) for p in parts]))

    assert score(whole) > score(halves) + 0.2


@pytest.mark.parametrize("samples", [0, 1, 300, SAMPLE_RATE_HZ, 2 * WINDOW_SAMPLES])
def test_silence_of_any_length_has_an_answer(smart_turn: SmartTurn, samples: int) -> None:
    assert 0.0 <= smart_turn.judge(np.zeros(samples, dtype=np.float32)) <= 1.0


def test_only_the_last_eight_seconds_matter(smart_turn: SmartTurn) -> None:
    turn = np.concatenate((clip("librivox_0870"), clip("go_forward")))
    assert len(turn) > WINDOW_SAMPLES
    assert smart_turn.judge(turn) == smart_turn.judge(turn[-WINDOW_SAMPLES:])
    assert smart_turn.judge(turn) != smart_turn.judge(turn[-WINDOW_SAMPLES // 2 :])
