"""What a client's audio is, if it is not the float32 that it should be.

A float32 sample from -1 to 1 has one of a few exponents. In any other format, other bits are in
their place: the same bytes, read as float32, are of all sizes from 1e-45 to 3e38, or not a number.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]

_FIRST_HUGE = 127 + 4
"""As float32 stores exponents. From here on a sample is 16 or more, infinite or not a number."""
_FIRST_SOUND = 127 - 60
"""Below this, a sample is under 1e-18: float32 audio has such samples only as it fades away."""
_PAST_INT32 = 127 + 32
_LEAST_SOUND = 0.05
"""With a smaller share of samples that are not 0, there is nothing to judge by."""
_SOME, _MANY, _MOST = 0.02, 0.1, 0.5
"""Shares of the samples that are not 0."""
_FULL, _CLIPPED = 0.999, 0.05

CLIPPED: Final = (
    "the audio is cut off at full volume: lower the gain of the microphone, or scale samples to"
    " what lies between -1 and 1"
)
_WANTED: Final = "send little-endian float32 from -1 to 1"
_UNSCALED: Final = (
    f"the audio has samples far above 1: {_WANTED} (of int16, each sample divided by 32768)"
)
_UNKNOWN: Final = (
    f"the audio is not float32: {_WANTED}, 16 kHz, one channel, without a header and not"
    " compressed (what MediaRecorder makes is)"
)


def format_advice(data: bytes) -> str:
    """What to tell a client that has sent these bytes as audio, about a second of it or more. Empty
    if they may be float32."""
    words = np.frombuffer(data, "<u4", count=len(data) // 4) & 0x7FFFFFFF
    exponents = words[words != 0] >> 23
    if len(exponents) <= _LEAST_SOUND * len(words):
        return ""
    huge = float(np.mean(exponents >= _FIRST_HUGE))
    tiny = float(np.mean(exponents < _FIRST_SOUND))
    if huge >= _MANY and not tiny and int(exponents.max()) < _PAST_INT32:
        return _UNSCALED
    formats = _FLOATS if tiny >= _MOST or _is_every_other_zero(words) else ()
    for name, how, is_it in _FORMATS if huge >= _SOME else formats:
        if is_it(data):
            return f"the audio looks like {name}: {_WANTED} ({how})"
    return _UNKNOWN if min(huge, tiny) >= _SOME else ""


def is_clipped(data: bytes) -> bool:
    """Whether so much of about a second of float32 audio is at full volume or above it that its
    peaks must have been cut off. Of speech that is as loud as it can be, it is a thousandth."""
    with np.errstate(invalid="ignore"):
        size = np.abs(_as("<f4", data))
    sound = size[size > 0]
    return len(sound) > _LEAST_SOUND * len(size) and float(np.mean(sound >= _FULL)) >= _CLIPPED


def _is_every_other_zero(words: _Array) -> bool:
    """As in a float64 that holds an int16."""
    zeros = [float(np.mean(words[start::2] == 0)) for start in (0, 1)]
    return max(zeros) > 0.99 and min(zeros) < _MOST


def _is_float(kind: str) -> Callable[[bytes], bool]:
    def is_it(data: bytes) -> bool:
        with np.errstate(invalid="ignore"):
            size = np.abs(_as(kind, data).astype(np.float64))
        sound = size[size != 0]
        is_usual = (sound > 1e-7) & (sound < 2.0)
        return len(sound) > _LEAST_SOUND * len(size) and float(is_usual.mean()) > 0.95

    return is_it


def _is_int(kind: str) -> Callable[[bytes], bool]:
    """Random bits are as loud as can be, and neighbours have nothing to do with each other. Nor are
    the halves of a longer number alike, of which one is random."""

    def is_it(data: bytes) -> bool:
        whole = _as(kind, data)
        samples = whole.astype(np.float64) / float(np.iinfo(whole.dtype).max)
        first, second = (float(samples[start::2].std()) for start in (0, 1))
        is_alike = 0 < first < 2 * second < 4 * first
        return is_alike and (float(samples.std()) < 0.3 or _likeness(samples) > _MOST)

    return is_it


def _likeness(samples: _Array) -> float:
    """The correlation of neighbours, -1 to 1."""
    return float(np.corrcoef(samples[:-1], samples[1:])[0, 1])


def _as(kind: str, data: bytes) -> _Array:
    dtype = np.dtype(kind)
    return np.frombuffer(data, dtype, count=len(data) // dtype.itemsize)


_FLOATS: Final = (
    ("float64", "in numpy, astype('<f4'); in JavaScript, Float32Array", _is_float("<f8")),
    ("big-endian float64", "in numpy, astype('<f4')", _is_float(">f8")),
    ("big-endian float32", "in numpy, astype('<f4')", _is_float(">f4")),
)
_FORMATS: Final = (
    *_FLOATS,
    ("int16", "each sample divided by 32768", _is_int("<i2")),
    ("big-endian int16", "each sample divided by 32768", _is_int(">i2")),
    ("int32", "each sample divided by 2147483648", _is_int("<i4")),
)
"""Name, what to do, and the test, in the order in which they are tried."""
