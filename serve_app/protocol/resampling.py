"""A client's audio at 16 kHz, as a stream.

Not soxr, which the voices use: it works in blocks, and kept up to 37 ms of 24 kHz audio back and up
to 118 ms of 8 kHz, which every turn would last longer. This filter delays audio by 1.3 or 2 ms.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.protocol.messages import Samples

HEARD_HZ: Final = 16_000
_UP: Final = 2
_BETA: Final = 5.65
"""Of the Kaiser window: 60 dB."""


@dataclass(frozen=True, slots=True)
class _Filter:
    down: int
    """Twice the rate of the input has so many samples for one of the output."""
    taps: int
    cutoff: float
    """As a share of twice the rate of the input."""

    def phases(self) -> tuple[npt.NDArray[Any], ...]:
        """For the samples of the input, and for those between them."""
        at = np.arange(self.taps) - (self.taps - 1) / 2
        taps = np.sinc(2 * self.cutoff * at) * np.kaiser(self.taps, _BETA)
        taps *= _UP / taps.sum()
        return tuple(taps[phase::_UP].astype(np.float32) for phase in range(_UP))


_FILTERS: Final = {
    24_000: _Filter(down=3, taps=128, cutoff=7600 / 48_000),
    8000: _Filter(down=1, taps=64, cutoff=3800 / 16_000),
}


class Resampler:
    """One stream from one of these rates. What comes out does not depend on how it was cut."""

    def __init__(self, from_hz: int) -> None:
        self._down = _FILTERS[from_hz].down
        self._phases = _FILTERS[from_hz].phases()
        self._before = np.zeros(len(self._phases[0]) - 1, np.float32)
        self._skip = 0

    def push(self, samples: Samples) -> Samples:
        """May return none."""
        if not len(samples):
            return samples
        samples = np.concatenate((self._before, samples))
        self._before = samples[len(samples) - len(self._before) :].copy()
        doubled = np.stack([np.convolve(samples, taps, "valid") for taps in self._phases], axis=1)
        flat: Samples = doubled.reshape(-1)
        found = flat[self._skip :: self._down].copy()
        self._skip = (self._skip - len(flat)) % self._down
        return found
