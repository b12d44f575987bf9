"""How loud the agent is played: softer while the user may be interrupting, without clicks."""

from typing import Final

import numpy as np

_DUCKED: Final = 0.3
_DOWN_S: Final = 0.03
_UP_S: Final = 0.2


class Volume:
    """The gain of one loudspeaker, which moves along a line."""

    def __init__(self, rate_hz: int) -> None:
        self._gain = self._target = 1.0
        self._down = (1 - _DUCKED) / (_DOWN_S * rate_hz)
        self._up = (1 - _DUCKED) / (_UP_S * rate_hz)

    def duck(self, on: bool) -> None:
        """Moves to 0.3 within 30 ms, or back within 200 ms."""
        self._target = _DUCKED if on else 1.0

    def reset(self) -> None:
        """Full volume at once: nothing is being played."""
        self._gain = self._target = 1.0

    def apply(self, audio: bytes) -> bytes:
        """The next samples as they are played: signed 16-bit mono, an even number of bytes."""
        if not audio or self._gain == self._target == 1.0:
            return audio
        samples = np.frombuffer(audio, dtype="<i2")
        steps = np.arange(1, len(samples) + 1)
        if self._target < self._gain:
            gains = np.maximum(self._gain - steps * self._down, self._target)
        else:
            gains = np.minimum(self._gain + steps * self._up, self._target)
        self._gain = float(gains[-1])
        return bytes((samples * gains).astype("<i2").tobytes())
