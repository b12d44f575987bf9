"""Sounds other than speech: float32 at 16 kHz, shape (n,)."""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import Samples

_Wave = npt.NDArray[np.float64]
_SEED = 1


def noises(seconds: float) -> dict[str, Samples]:
    """Every kind, by name."""
    made = {name: _at_dbfs(make(_times(seconds)), dbfs) for name, (make, dbfs) in _KINDS.items()}
    hiss = {f"white noise at {dbfs} dBFS": _at_dbfs(_white(_times(seconds)), dbfs)
            for dbfs in (-60, -40, -30, -20, -10, -3)}  # fmt: skip
    silence = {"silence": np.zeros(round(seconds * SAMPLE_RATE_HZ), dtype=np.float32)}
    return made | hiss | silence


def _times(seconds: float) -> _Wave:
    return np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ


def _at_dbfs(wave: _Wave, dbfs: float) -> Samples:
    """Peak at this level below full scale."""
    return (wave / (np.abs(wave).max() + 1e-9) * 10 ** (dbfs / 20)).astype(np.float32)


def _white(t: _Wave) -> _Wave:
    return np.random.default_rng(_SEED).normal(size=len(t))


def _band(wave: _Wave, low_hz: float, high_hz: float) -> _Wave:
    spectrum = np.fft.rfft(wave)
    hz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE_HZ)
    spectrum[(hz < low_hz) | (hz > high_hz)] = 0
    return np.fft.irfft(spectrum, len(wave))


def _harmonics(t: _Wave, hz: float, strengths: tuple[float, ...]) -> _Wave:
    return np.sum([a * np.sin(2 * np.pi * hz * (k + 1) * t) for k, a in enumerate(strengths)], 0)


def _bursts(t: _Wave, every_s: float, decay_s: float, low_hz: float, high_hz: float) -> _Wave:
    """Filtered noise that dies away, at uneven times."""
    rng = np.random.default_rng(_SEED)
    wave = 1e-3 * _white(t)
    at_s = rng.uniform(0, every_s)
    while at_s < t[-1]:
        since = t - at_s
        envelope = np.where(since >= 0, np.exp(-np.clip(since, 0, None) / decay_s), 0.0)
        wave += _band(_white(t), low_hz, high_hz) * envelope * rng.uniform(0.3, 1)
        at_s += every_s * rng.uniform(0.5, 1.5)
    return wave


def _breath(t: _Wave) -> _Wave:
    return _band(_white(t), 300, 2500) * np.clip(np.sin(2 * np.pi * t / 1.6), 0, None) ** 1.5


def _music(t: _Wave) -> _Wave:
    """A plucked note every 300 ms."""
    notes_hz = np.array([261.6, 329.6, 392.0, 523.3, 440.0, 349.2])
    hz = notes_hz[(t / 0.3).astype(int) * 5 % len(notes_hz)]
    return _harmonics(t, 1.0, (0.0,)) + np.sum(
        [np.sin(2 * np.pi * hz * k * (t % 0.3)) / k**2 for k in (1, 2, 3, 4)], 0
    ) * np.exp(-4 * (t % 0.3))


_KINDS: Final[dict[str, tuple[Callable[[_Wave], _Wave], float]]] = {
    "hum of 50 Hz": (lambda t: _harmonics(t, 50, (1, 0.5, 0.3, 0, 0.2)), -20),
    "loud hum of 60 Hz": (lambda t: _harmonics(t, 60, (1, 0.5, 0.3, 0.2, 0.2)), -6),
    "clicks": (lambda t: _bursts(t, 0.25, 0.001, 20, 8000), -6),
    "keyboard": (lambda t: _bursts(t, 0.16, 0.015, 800, 5000), -12),
    "breath": (_breath, -20),
    "music": (_music, -12),
    "a tone of 1 kHz": (lambda t: np.sin(2 * np.pi * 1000 * t), -12),
    "beeps": (lambda t: np.sin(2 * np.pi * 880 * t) * (np.sin(4 * np.pi * t) > 0), -12),
    "rumble": (lambda t: _band(_white(t), 20, 400), -12),
    "coughs": (lambda t: _bursts(t, 1.0, 0.09, 200, 4000), -6),
}
