"""Sounds that nobody recorded: they are made, the same ones each time. They stand in for kinds of
which there is no recording, and the tables say so."""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from serve_app.conversation.settings import SAMPLE_RATE_HZ, samples
from serve_app.protocol.messages import Samples

_Floats = npt.NDArray[np.float64]
_VARIANTS = 4
_CHORDS = ((220.0, 277.2, 329.6), (196.0, 246.9, 293.7), (174.6, 220.0, 261.6))


def noises() -> Iterator[tuple[str, str, Samples]]:
    """Kind, name and sound, float32, shape (n,), at any level."""
    for kind, make in _MAKERS.items():
        for variant in range(_VARIANTS):
            random = np.random.default_rng((len(kind), variant))
            yield kind, f"{kind} {variant + 1}", make(random).astype(np.float32)


@lru_cache(maxsize=4)
def room(count: int, seed: int) -> Samples:
    """Room noise: pink, which is a fan and a street, with an RMS of 1; float32, shape (count,)."""
    random = np.random.default_rng(seed)
    noise = _shaped(random, count, lambda hz: 1 / np.sqrt(np.maximum(hz, 50.0)))
    return (noise / np.sqrt(np.square(noise).mean())).astype(np.float32)


def _cough(random: np.random.Generator) -> _Floats:
    """A burst of air, and often a second one that ends in voice."""
    bursts = []
    for is_voiced in (False, True)[: random.integers(1, 3)]:
        count = samples(random.uniform(150, 300))
        air = _shaped(random, count, lambda hz: (hz > 300) / (1 + (hz / 1800) ** 2))
        burst = air / np.abs(air).max() * _decay(count, attack_ms=8, half_ms=60)
        if is_voiced:
            pitch = random.uniform(110, 180) * np.linspace(1.1, 0.8, count)
            phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HZ
            voice = sum(np.sin(k * phase) / k for k in range(1, 12))
            burst += 0.4 * voice * _decay(count, attack_ms=60, half_ms=60)
        bursts += [burst, np.zeros(samples(random.uniform(60, 140)))]
    return np.concatenate(bursts[:-1])


def _slam(random: np.random.Generator) -> _Floats:
    """A blow, and a room that rings."""
    count = samples(600)
    blow = _shaped(random, count, lambda hz: 1 / (1 + (hz / 250) ** 2))
    latch = _shaped(random, count, lambda hz: hz > 1500)
    return blow / np.abs(blow).max() * _decay(
        count, attack_ms=2, half_ms=random.uniform(40, 90)
    ) + 0.3 * latch / np.abs(latch).max() * _decay(count, attack_ms=1, half_ms=15)


def _keyboard(random: np.random.Generator) -> _Floats:
    """Somebody types for 2 s: each key goes down and comes up again."""
    typed = np.zeros(samples(2000))
    at_ms = 0.0
    while at_ms < 1850:
        for delay_ms, loudness in ((0.0, 1.0), (random.uniform(50, 90), 0.4)):
            count = samples(30)
            click = _shaped(random, count, lambda hz: (hz > 800) / (1 + (hz / 4000) ** 2))
            start = samples(at_ms + delay_ms)
            click *= loudness * random.uniform(0.5, 1) / np.abs(click).max()
            typed[start : start + count] += (click * _decay(count, 1, 6))[: len(typed) - start]
        at_ms += random.uniform(90, 260)
    return typed


def _music(random: np.random.Generator) -> _Floats:
    """4 s of chords on something that is plucked."""
    played = []
    for beat in range(8):
        count = samples(500)
        time = np.arange(count) / SAMPLE_RATE_HZ
        chord = _CHORDS[(beat // 2 + int(random.integers(3))) % len(_CHORDS)]
        notes = [np.sin(2 * np.pi * hz * k * time) / k**1.2 for hz in chord for k in range(1, 8)]
        played.append(np.sum(notes, axis=0) * _decay(count, attack_ms=5, half_ms=180))
    return np.concatenate(played)


_MAKERS: dict[str, Callable[[np.random.Generator], _Floats]] = {
    "cough": _cough,
    "door slam": _slam,
    "keyboard": _keyboard,
    "music": _music,
}


def _shaped(
    random: np.random.Generator, count: int, loudness: Callable[[_Floats], _Floats]
) -> _Floats:
    """Noise whose loudness depends on the frequency, in Hz."""
    spectrum = np.fft.rfft(random.normal(size=count))
    hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ)
    return np.fft.irfft(spectrum * loudness(hz), count)


def _decay(count: int, attack_ms: float, half_ms: float) -> _Floats:
    """Loud within `attack_ms`, then half as loud after each `half_ms`."""
    ms = np.arange(count) / SAMPLE_RATE_HZ * 1000
    return np.minimum(ms / attack_ms, 1.0) * 0.5 ** (ms / half_ms)
