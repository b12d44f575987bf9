"""When the memory of the VAD fades, and by how much."""

import numpy as np
import pytest

from serve_app.ingress import vad_memory
from serve_app.ingress.vad_memory import VadMemory
from serve_app.vad.jobs import VadAnswer, VadRow

LONG = vad_memory._FADES_AFTER_FRAMES
ROW = VadRow(np.ones((2, 128), dtype=np.float32), np.ones(64, dtype=np.float32))


def hear(memory: VadMemory, *probabilities: float) -> float:
    """How much of the state is left of this call."""
    memory.take(VadAnswer(ROW, np.array(probabilities, dtype=np.float32)))
    assert np.array_equal(memory.row.context, ROW.context)
    return float(memory.row.state[0, 0])


def test_it_fades_by_the_frame_after_two_seconds_without_speech() -> None:
    memory = VadMemory()
    assert hear(memory, *[0.3] * LONG) == 1
    assert hear(memory, 0.3) == pytest.approx(np.exp(-0.064))
    assert hear(memory, *[0.3] * 10) == pytest.approx(np.exp(-0.64))


def test_only_the_frames_after_two_seconds_count() -> None:
    assert hear(VadMemory(), *[0.0] * (LONG + 3)) == pytest.approx(np.exp(-0.192))


def test_speech_keeps_it() -> None:
    memory = VadMemory()
    hear(memory, *[0.0] * (LONG + 3))
    assert hear(memory, 0.0, 0.4, 0.0) == 1
    assert hear(memory, *[0.0] * (LONG - 1)) == 1
    assert hear(memory, 0.0) == pytest.approx(np.exp(-0.064))
