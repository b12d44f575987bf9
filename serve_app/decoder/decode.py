"""Decodes one sound file, from stdin to stdout: `python -m serve_app.decoder.decode SECONDS`, which
is how long it may be.

A process of its own, which ends with the file. Strangers choose what libsndfile reads, and it is
written in C: what goes wrong in here ends no conversation. It has little time and memory, can
write no file, and lets conversations have the processor first.
"""

import os
import resource
import sys
from contextlib import suppress
from io import BytesIO
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from serve_app.decoder.results import RATE_HZ, Result

_FORMATS = frozenset({"WAV", "WAVEX", "FLAC", "OGG", "MP3"})
_RATES_HZ = range(4_000, 192_001)
_MOST_CHANNELS = 8
_BLOCK = 1 << 15
_LIMITS = {
    resource.RLIMIT_AS: 2 << 30,
    resource.RLIMIT_CPU: 20,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CORE: 0,
}
_NICE = 10


def decode(data: bytes, most_s: float, out: BinaryIO) -> Result:
    """Writes the samples as they come: after an error, what was written is worth nothing."""
    try:
        with soundfile.SoundFile(BytesIO(data)) as file:
            return _copy(file, most_s, out) if file.format in _FORMATS else Result.UNKNOWN
    except soundfile.LibsndfileError:
        return Result.UNKNOWN


def _copy(file: soundfile.SoundFile, most_s: float, out: BinaryIO) -> Result:
    if file.samplerate not in _RATES_HZ or file.channels > _MOST_CHANNELS:
        return Result.UNUSUAL
    resampler = soxr.ResampleStream(file.samplerate, RATE_HZ, 1, dtype="float32")
    left = int(most_s * file.samplerate)
    # Not `blocks`: it goes by the length in the header, repeats the last block where a file was cut
    # off, and takes no codec in which nobody can seek, such as GSM.
    while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
        left -= len(block)
        if left < 0:
            return Result.TOO_LONG
        out.write(_pcm(resampler.resample_chunk(np.nan_to_num(block.mean(axis=1)))))
    out.write(_pcm(resampler.resample_chunk(np.empty(0, np.float32), last=True)))
    return Result.DONE


def _pcm(samples: npt.NDArray[np.float32]) -> bytes:
    return (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()


def main() -> None:
    for kind, most in _LIMITS.items():
        with suppress(ValueError, OSError):  # not every system has them all
            resource.setrlimit(kind, (most, most))
    os.nice(_NICE)
    result = decode(sys.stdin.buffer.read(), float(sys.argv[1]), sys.stdout.buffer)
    sys.stdout.buffer.flush()
    sys.exit(result)


if __name__ == "__main__":
    main()
