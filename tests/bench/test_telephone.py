"""The line of `python -m bench.telephone`."""

import numpy as np
import pytest

from bench.telephone import through_a_telephone
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import Samples


def loudness(hz: float) -> float:
    """Of a second of a tone, by what it was before."""
    tone = 0.5 * np.sin(2 * np.pi * hz * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
    heard = through_a_telephone(tone.astype(np.float32))
    assert len(heard) == len(tone)
    return float(np.square(heard).mean() / np.square(tone).mean()) ** 0.5


@pytest.mark.parametrize("hz", [200, 1000, 3000])
def test_a_telephone_carries_what_voices_need(hz: float) -> None:
    assert loudness(hz) == pytest.approx(1, abs=0.05)


def test_a_telephone_carries_nothing_above_4_khz() -> None:
    assert loudness(5000) < 0.02


def test_speech_stays_where_it_was() -> None:
    click: Samples = np.zeros(SAMPLE_RATE_HZ, np.float32)
    click[8000:8016] = 0.5
    assert abs(int(np.abs(through_a_telephone(click)).argmax()) - 8008) < SAMPLE_RATE_HZ * 0.005
