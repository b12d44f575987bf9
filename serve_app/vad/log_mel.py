"""Whisper's log-mel spectrogram in numpy. To load torch or transformers for it would cost a voice
activity replica hundreds of megabytes."""

import numpy as np
import numpy.typing as npt

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import Samples

MELS = 80
_FFT_SAMPLES = 400
HOP_SAMPLES = 160
"""Windows of 25 ms, 10 ms apart (section 2.2 of Whisper's paper, arXiv:2212.04356)."""
_FLOOR = 1e-10
_DECADES = 8.0
"""Power further than this below the loudest point is raised to that level."""
_BLOCK = 16
"""Frames in each matrix product: too few for OpenBLAS to start threads, with which it takes ten
times as long when the other cores are busy (measured)."""


def log_mel(samples: Samples) -> Samples:
    """The spectrogram of float32 mono at 16 kHz, shape (n,), n a multiple of 2560.

    Returns float32, shape (80, n / 160): log10 of the power, shifted and scaled as in Whisper, so
    that all values are within 2 of each other.
    """
    padded = np.pad(samples, _FFT_SAMPLES // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT_SAMPLES)[::HOP_SAMPLES]
    spectrum = np.fft.rfft(frames[: len(samples) // HOP_SAMPLES] * _HANN)
    power = spectrum.real**2 + spectrum.imag**2
    mels = (power.reshape(-1, _BLOCK, power.shape[1]) @ _FILTERS).reshape(-1, MELS)
    logs = np.log10(np.maximum(mels, _FLOOR)).T
    scaled: Samples = (np.maximum(logs, logs.max() - _DECADES) + 4.0) / 4.0
    return scaled


def _hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Slaney's mel scale (Auditory Toolbox, 1998): linear up to 1 kHz, which is mel 15, then 27
    mels for each factor of 6.4."""
    return np.where(mels < 15.0, mels * 200.0 / 3.0, 1000.0 * 6.4 ** ((mels - 15.0) / 27.0))


def _mel_filters() -> Samples:
    """Overlapping triangles of equal area, evenly spaced on the mel scale: shape (201, 80)."""
    nyquist_hz = SAMPLE_RATE_HZ / 2
    highest_mel = 15.0 + 27.0 * np.log(nyquist_hz / 1000.0) / np.log(6.4)
    edges = _hz(np.linspace(0.0, highest_mel, MELS + 2))
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    bins = np.linspace(0.0, nyquist_hz, _FFT_SAMPLES // 2 + 1)[:, np.newaxis]
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    return (np.maximum(triangles, 0.0) * 2.0 / (high - low)).astype(np.float32)


_FILTERS = _mel_filters()
_HANN = np.hanning(_FFT_SAMPLES + 1)[:-1].astype(np.float32)
"""The periodic form: repeated, it has no seam."""
