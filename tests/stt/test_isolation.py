"""One session cannot change what another one said, whatever it sends: batches of recorded speech
beside samples that are no sound, on the real model."""

import msgpack
import numpy as np
import pytest

from serve_app.protocol.codec import decode
from serve_app.protocol.messages import Audio, Samples
from serve_app.settings.schema import SttSettings
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.transcriber import WhisperEngine
from tests.speech import clip, word_errors, words

pytestmark = pytest.mark.models

NAMES = ("go_forward", "cards_001", "librivox_0930", "cards_005")
"""All of these fit the shortest window, so none lengthens it for the others."""
SECONDS_2 = 32_000
CHANCE = np.random.default_rng(0)
POISON: dict[str, Samples] = {
    "NaN": np.full(SECONDS_2, np.nan, np.float32),
    "infinities": np.where(np.arange(SECONDS_2) % 2, np.inf, -np.inf).astype(np.float32),
    "huge": CHANCE.normal(0, 1e30, SECONDS_2).astype(np.float32),
    "noise at full volume": CHANCE.uniform(-1, 1, SECONDS_2).astype(np.float32),
    "denormal": np.full(SECONDS_2, 1e-40, np.float32),
    "any bits": np.frombuffer(CHANCE.bytes(4 * SECONDS_2), "<f4").copy(),
    "nothing": np.zeros(0, np.float32),
    "one sample": np.ones(1, np.float32),
}
MOST_WORDS_OFF = 0.05
"""Of all words, whatever their case, in int8: torch scales the numbers of a whole batch as one, so
company changes them by a little. In float32 the texts are the same."""


@pytest.fixture(scope="module", params=["int8", "float32"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(dtype: str) -> WhisperEngine:
    return WhisperEngine(SttSettings.model_validate({"device": "cpu", "dtype": dtype}))


@pytest.fixture(scope="module")
def alone(engine: WhisperEngine) -> list[str]:
    return [texts(engine, clip(name))[0] for name in NAMES]


def texts(engine: WhisperEngine, *speech: Samples) -> list[str]:
    return engine.transcribe_now([Utterance(samples) for samples in speech])


def as_the_ingress_takes_it(samples: Samples) -> Samples:
    message = decode(msgpack.packb({"type": "audio", "audio": samples.astype("<f4").tobytes()}))
    assert isinstance(message, Audio)
    return message.samples


def assert_alike(dtype: str, alone: list[str], batch: list[str]) -> None:
    if dtype == "float32":
        assert batch == alone
    off = sum(word_errors(one, other) for one, other in zip(alone, batch, strict=True))
    assert off <= MOST_WORDS_OFF * sum(len(words(text)) for text in alone), (alone, batch)


def test_rows_of_a_batch_equal_lone_runs(
    engine: WhisperEngine, dtype: str, alone: list[str]
) -> None:
    assert_alike(dtype, alone, texts(engine, *map(clip, NAMES)))


@pytest.mark.parametrize("is_raw", [False, True], ids=["as it is taken", "as it came"])
@pytest.mark.parametrize("name", POISON)
def test_poison_changes_nobody_elses_text(
    engine: WhisperEngine, dtype: str, alone: list[str], name: str, is_raw: bool
) -> None:
    """Also if the ingress would let it through, and wherever in the batch it is."""
    poison = POISON[name] if is_raw else as_the_ingress_takes_it(POISON[name])
    first, *others = map(clip, NAMES)
    before, nothing, *after = texts(engine, first, poison, *others)
    assert_alike(dtype, alone, [before, *after])
    assert nothing == ""


@pytest.mark.parametrize("name", POISON)
def test_what_is_taken_is_always_sound(name: str) -> None:
    taken = as_the_ingress_takes_it(POISON[name])
    assert len(taken) == len(POISON[name]) and np.all(np.abs(taken) <= 1)
    assert not np.any((taken != 0) & (np.abs(taken) < np.finfo(np.float32).tiny))
