"""The audio formats of the protocols besides Echo's, and what the conversation has in their place:
float32 at 16 kHz from the client, pcm at the rate of the format to it."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serve_app.protocol.codec import clean
from serve_app.protocol.messages import Samples
from serve_app.protocol.resampling import Resampler

_FULL: Final = 32_768.0
_Table = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Format:
    """Mono, like all audio here."""

    name: str
    rate_hz: int
    bytes_per_sample: int

    def shown(self) -> dict[str, Any]:
        """As it is in a session."""
        return {"type": self.name} | ({"rate": self.rate_hz} if self is PCM else {})

    def decode(self, data: bytes) -> Samples:
        """A whole number of samples, from -1 to 1, at the rate of the format."""
        if self is PCM:
            samples = np.frombuffer(data, "<i2")
        else:
            samples = _DECODED[self.name][np.frombuffer(data, np.uint8)]
        return samples.astype(np.float32) / np.float32(_FULL)

    def encode(self, pcm: bytes) -> bytes:
        """From pcm at the rate of the format."""
        if self is PCM:
            return pcm
        indices = np.frombuffer(pcm, "<i2").astype(np.int32) + int(_FULL)
        return _ENCODED[self.name][indices].tobytes()


PCM: Final = Format("audio/pcm", 24_000, 2)
MU_LAW: Final = Format("audio/pcmu", 8000, 1)
A_LAW: Final = Format("audio/pcma", 8000, 1)
FORMATS: Final = {format_.name: format_ for format_ in (PCM, MU_LAW, A_LAW)}


class Ears:
    """One stream of a client's audio."""

    def __init__(self, format_: Format) -> None:
        self.format = format_
        self._resampler = Resampler(format_.rate_hz)

    def hear(self, data: bytes) -> Samples:
        """What the conversation hears; may be no samples."""
        return clean(self._resampler.push(self.format.decode(data)))


def _mu_law() -> _Table:
    """What each byte stands for (ITU-T G.711), as pcm."""
    code = ~np.arange(256) & 0xFF
    size = (((code & 0xF) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return np.where(code & 0x80, -size, size).astype(np.int16)


def _a_law() -> _Table:
    code = np.arange(256) ^ 0x55
    step, part = code >> 4 & 7, (code & 0xF) << 4
    size = np.where(step == 0, part + 8, part + 0x108 << np.maximum(step - 1, 0))
    return np.where(code & 0x80, size, -size).astype(np.int16)


def _encoder(decoded: _Table) -> _Table:
    """The byte for each of the 65,536 values of pcm: that which stands for the nearest one. Of the
    two that stand for 0, mu-law's silence is 0xFF."""
    order = np.argsort(decoded, kind="stable")
    values = decoded[order].astype(np.float64)
    between = (values[1:] + values[:-1]) / 2
    return order[np.searchsorted(between, np.arange(-32_768, 32_768), side="right")].astype(
        np.uint8
    )


_DECODED: Final = {MU_LAW.name: _mu_law(), A_LAW.name: _a_law()}
_ENCODED: Final = {name: _encoder(decoded) for name, decoded in _DECODED.items()}
