"""Bare samples as a stream: at their own rate, in either byte order."""

import numpy as np

from serve_app.agent.tts.resample import PcmResampler

_TELLING = 256
"""How many samples with a sound tell the byte order: 16 ms at 16 kHz."""


class PcmStream:
    """Takes mono samples (signed 16-bit), at `rate_hz`; returns them at `wanted_hz`."""

    def __init__(self, rate_hz: int, wanted_hz: int) -> None:
        self._resampler = PcmResampler(rate_hz, wanted_hz)
        self._odd_byte = b""

    def push(self, data: bytes) -> bytes:
        """`data` may end within a sample."""
        data = self._odd_byte + data
        even = len(data) // 2 * 2
        self._odd_byte = data[even:]
        return self._resampler.push(data[:even])

    def flush(self) -> bytes:
        """The rest, at the end."""
        return self._resampler.push(b"", last=True)


class EitherOrderStream:
    """`audio/L16`, which is big-endian by RFC 2586. Google's and IBM's servers send little-endian
    under that name, so the samples decide: in the wrong order they are noise, whose neighbours
    differ more. Digital silence is passed on at once, since it is the same in both orders."""

    def __init__(self, rate_hz: int, wanted_hz: int, order: str = "") -> None:
        """`order`: `big` or `little` if the server has told, which is believed."""
        self._stream = PcmStream(rate_hz, wanted_hz)
        self._order = order
        self._waiting = b""

    def push(self, data: bytes) -> bytes:
        """`data` may end within a sample."""
        self._waiting += data
        even = len(self._waiting) // 2 * 2
        samples = np.frombuffer(self._waiting[:even], dtype="<i2")
        loud = np.flatnonzero(samples)
        if not self._order and len(loud) >= _TELLING:
            self._order = _order_of(self._waiting[:even])
        if not self._order and len(loud):
            even = int(loud[0]) * 2
        return self._pass_on(even)

    def flush(self) -> bytes:
        """The rest, at the end."""
        even = len(self._waiting) // 2 * 2
        self._order = self._order or _order_of(self._waiting[:even])
        return self._pass_on(even) + self._stream.flush()

    def _pass_on(self, size: int) -> bytes:
        ready, self._waiting = self._waiting[:size], self._waiting[size:]
        if self._order == "big":
            ready = np.frombuffer(ready, dtype=">i2").astype("<i2").tobytes()
        return self._stream.push(ready)


def _order_of(data: bytes) -> str:
    big, little = (np.frombuffer(data, dtype=kind).astype(np.int64) for kind in (">i2", "<i2"))
    return "big" if np.abs(np.diff(big)).sum() < np.abs(np.diff(little)).sum() else "little"
