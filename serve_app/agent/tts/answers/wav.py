"""WAV as a stream: its samples, as they arrive, whatever its header says about sizes."""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serve_app.agent.tts.resample import PcmResampler

_FORMS = (b"RIFF", b"RF64")
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_FORM_BYTES, _CHUNK_BYTES = 12, 8
_FORMAT_BYTES = range(16, 1025)
_EXTENSIBLE_BYTES = 26
_UNKNOWN_BYTES = 0x7FFF0000
"""A data chunk of this size or more, or of none, lasts until the stream ends: that is what servers
write that send the header before the audio is made."""
_RATES_HZ = range(4_000, 384_001)
_ENCODINGS = {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)}


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the samples of a WAV are written."""

    encoding: int
    bits: int
    channels: int
    rate_hz: int

    @property
    def frame_bytes(self) -> int:
        return self.bits // 8 * self.channels


class WavStream:
    """Takes a WAV piece by piece; returns pcm (mono, signed 16-bit little-endian) at the wanted
    rate. Several WAVs one after the other, as some servers send them, are one stream."""

    def __init__(self, wanted_hz: int) -> None:
        self._wanted_hz = wanted_hz
        self._rest = b""
        self._skip = 0
        self._left: int | None = 0
        """Bytes of the current data chunk; None if it has no size."""
        self._layout: _Layout | None = None
        self._resampler: PcmResampler | None = None

    def push(self, data: bytes) -> bytes:
        """Raises ValueError for a header that makes no sense, and for codecs within a WAV."""
        self._rest += data
        ready: list[bytes] = []
        while True:
            skipped = min(self._skip, len(self._rest))
            self._rest, self._skip = self._rest[skipped:], self._skip - skipped
            if self._left == 0:
                if not self._read_chunk():
                    break
            elif frames := self._take_frames():
                ready.append(self._converted(frames))
            else:
                break
        return b"".join(ready)

    def flush(self) -> bytes:
        """The rest, at the end. Raises ValueError when there was no sample format."""
        if self._layout is None:
            raise ValueError("the WAV has no format")
        return self._resampler.push(b"", last=True) if self._resampler else b""

    def _read_chunk(self) -> bool:
        """Takes the head of the next chunk, if it is there; of a format, the whole of it."""
        if self._skip or len(self._rest) < _CHUNK_BYTES:
            return False
        name, size = struct.unpack_from("<4sI", self._rest)
        head = _CHUNK_BYTES
        if name in _FORMS:
            head, size = _FORM_BYTES, 0
        elif name == b"fmt ":
            if size not in _FORMAT_BYTES:
                raise ValueError("the WAV's format has no sensible size")
            if len(self._rest) < head + size:
                return False
            self._begin(_layout(self._rest[head : head + size]))
        if len(self._rest) < head:
            return False
        self._rest = self._rest[head:]
        if name == b"data":
            self._left = size if 0 < size < _UNKNOWN_BYTES else None
        else:
            self._skip = size + size % 2
        return True

    def _begin(self, layout: _Layout) -> None:
        if self._resampler is None or layout != self._layout:
            self._resampler = PcmResampler(layout.rate_hz, self._wanted_hz)
        self._layout = layout

    def _take_frames(self) -> bytes:
        """Whole frames of the data chunk."""
        if self._layout is None:
            raise ValueError("the WAV's data comes before its format")
        available = len(self._rest) if self._left is None else min(len(self._rest), self._left)
        whole = available // self._layout.frame_bytes * self._layout.frame_bytes
        frames, self._rest = self._rest[:whole], self._rest[whole:]
        if self._left is not None:
            self._left -= whole
            if self._left < self._layout.frame_bytes:  # the chunk's end, with its pad byte
                self._skip, self._left = self._left + (self._left + whole) % 2, 0
        return frames

    def _converted(self, frames: bytes) -> bytes:
        assert self._layout is not None and self._resampler is not None
        samples = _samples(frames, self._layout)
        mono = samples.reshape(-1, self._layout.channels).mean(axis=1)
        pcm = np.clip(np.rint(mono * 32768), -32768, 32767).astype("<i2")
        return self._resampler.push(pcm.tobytes())


def _layout(chunk: bytes) -> _Layout:
    encoding, channels, rate_hz = struct.unpack_from("<HHI", chunk)
    (bits,) = struct.unpack_from("<H", chunk, 14)
    if encoding == _EXTENSIBLE and len(chunk) >= _EXTENSIBLE_BYTES:
        (encoding,) = struct.unpack_from("<H", chunk, 24)
    if (encoding, bits) not in _ENCODINGS:
        raise ValueError(f"WAV with codec {encoding} and {bits} bits")
    if rate_hz not in _RATES_HZ or not 1 <= channels <= 8:
        raise ValueError(f"WAV of {rate_hz} Hz with {channels} channels")
    return _Layout(encoding, bits, channels, rate_hz)


def _samples(frames: bytes, layout: _Layout) -> npt.NDArray[np.float64]:
    """In [-1, 1], the channels of a frame one after the other."""
    if layout.encoding == _FLOAT:
        found = np.frombuffer(frames, dtype=f"<f{layout.bits // 8}").astype(np.float64)
        return np.clip(np.nan_to_num(found, posinf=1.0, neginf=-1.0), -1.0, 1.0)
    if layout.bits == 8:
        return (np.frombuffer(frames, dtype=np.uint8).astype(np.float64) - 128) / 128
    if layout.bits == 24:
        frames = np.pad(np.frombuffer(frames, np.uint8).reshape(-1, 3), ((0, 0), (1, 0))).tobytes()
        return np.frombuffer(frames, dtype="<i4") / 2.0**31
    return np.frombuffer(frames, dtype=f"<i{layout.bits // 8}") / 2.0 ** (layout.bits - 1)
