"""One session cannot change what is decided for another one: rows of one call to the real models
beside samples that are no sound."""

import numpy as np
import pytest

from serve_app.conversation.settings import FRAME_SAMPLES
from serve_app.protocol.messages import Samples
from serve_app.vad.jobs import VadJob, VadRow, new_row
from serve_app.vad.silero import SileroVad
from serve_app.vad.smart_turn import SmartTurn
from tests.speech import TRANSCRIPTS, clip

pytestmark = pytest.mark.models

CHANCE = np.random.default_rng(0)
SHAPE = (40, FRAME_SAMPLES)
POISON: dict[str, Samples] = {
    "NaN": np.full(SHAPE, np.nan, np.float32),
    "infinities": np.full(SHAPE, np.inf, np.float32),
    "huge": CHANCE.normal(0, 1e30, SHAPE).astype(np.float32),
    "noise at full volume": CHANCE.uniform(-1, 1, SHAPE).astype(np.float32),
    "denormal": np.full(SHAPE, 1e-40, np.float32),
    "one frame": np.ones((1, FRAME_SAMPLES), np.float32),
}
NAN_ROW = VadRow(np.full((2, 128), np.nan, np.float32), np.full(64, np.nan, np.float32))


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad()


@pytest.fixture(scope="module")
def smart_turn() -> SmartTurn:
    return SmartTurn()


def frames(name: str) -> Samples:
    samples = clip(name)
    return samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)


@pytest.mark.parametrize("row", [new_row(), NAN_ROW], ids=["new", "poisoned before"])
@pytest.mark.parametrize("name", POISON)
def test_a_poisoned_row_changes_no_other_bit(vad: SileroVad, name: str, row: VadRow) -> None:
    """Neither the probabilities nor what is remembered; and the call does not fail."""
    names = list(TRANSCRIPTS)[:4]
    jobs = [VadJob(new_row(), frames(clean)) for clean in names]
    poisoned = vad.detect([jobs[0], VadJob(row, POISON[name]), *jobs[1:]])
    for job, answer in zip(jobs, [poisoned[0], *poisoned[2:]], strict=True):
        (alone,) = vad.detect([job])
        assert np.array_equal(answer.probabilities, alone.probabilities)
        assert np.array_equal(answer.row.state, alone.row.state)
        assert np.array_equal(answer.row.context, alone.row.context)


@pytest.mark.parametrize("name", POISON)
def test_smart_turn_remembers_no_poison(smart_turn: SmartTurn, name: str) -> None:
    before = smart_turn.judge(clip("go_forward"))
    with np.errstate(all="ignore"):
        smart_turn.judge(POISON[name].reshape(-1))
    assert smart_turn.judge(clip("go_forward")) == before
