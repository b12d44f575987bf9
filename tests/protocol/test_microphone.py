"""A microphone with the wrong format or rate is noticed within seconds, and a right one never: over
all recordings of speech that the repository has, however loud, and over noise."""

import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import Samples
from serve_app.protocol.microphone import Microphone
from tests.stt.noise import noises

RECORDINGS = sorted((Path(__file__).parents[1] / "data").rglob("*.wav"))
CHUNK = 4096
SOON_S = 3.0
"""Of sound, until a wrong format is noticed."""
RATE_SOON_S = 12.0

Change = Callable[[Samples], npt.NDArray[np.generic]]


def speech(path: Path) -> Samples:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate()) == (1, SAMPLE_RATE_HZ)
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return pcm.astype(np.float32) / np.float32(32768)


def chunks(data: bytes, size: int = CHUNK) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def heard(data: bytes, samples_per_s: float = SAMPLE_RATE_HZ, size: int = CHUNK) -> list[str]:
    """What the client is told about this, sent at such a rate."""
    microphone, now_s, advice = Microphone(), 0.0, []
    for chunk in chunks(data, size):
        advice.append(microphone.hear(chunk, now_s))
        now_s += len(chunk) / 4 / samples_per_s
    return [text for text in advice if text]


def repeated(samples: Samples, seconds: float) -> Samples:
    return np.resize(samples, round(seconds * SAMPLE_RATE_HZ))


# --- never ---

RIGHT: dict[str, Change] = {
    "as it is": lambda s: s,
    "1000 times as quiet": lambda s: s / 1000,
    "a millionth": lambda s: s / 1e6,
    "as loud as can be": lambda s: s / np.abs(s).max(),
    "with a knock": lambda s: np.where(np.arange(len(s)) % 160_000 < 16_000, 1, s),
    "with an offset": lambda s: s + 0.1,
    "of 8 bit": lambda s: np.round(s * 127) / 127,
    "in noise": lambda s: s + np.random.default_rng(1).normal(0, 0.05, len(s)),
    "fades away": lambda s: s * np.exp(-np.arange(len(s)) / 2000).astype(np.float32),
    "a gate that closes": lambda s: np.where(np.abs(s) > 0.01, s, 0),
    "every other sample": lambda s: np.where(np.arange(len(s)) % 2, s, 0),
}


@pytest.mark.parametrize("change", RIGHT.values(), ids=RIGHT)
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_real_speech_is_never_complained_about(path: Path, change: Change) -> None:
    data = change(repeated(speech(path), 12)).astype("<f4").tobytes()
    assert heard(data) == []


@pytest.mark.parametrize("name", noises(0.1))
def test_noise_is_never_complained_about(name: str) -> None:
    assert heard(noises(12.0)[name].astype("<f4").tobytes()) == []


def test_what_fades_away_for_ever_is_never_complained_about() -> None:
    """A filter that rings on, down to the smallest numbers that float32 has."""
    tail = 1e-15 * np.exp(-np.arange(SAMPLE_RATE_HZ * 20) / 4000) * np.sin(np.arange(320_000))
    assert 0 < np.mean(np.abs(tail.astype(np.float32)) < 1e-37) < 1
    assert heard(tail.astype("<f4").tobytes()) == []


def test_a_constant_that_keeps_a_filter_awake_is_never_complained_about() -> None:
    for offset in (1e-18, 1e-20, 1e-30):
        silence = np.full(SAMPLE_RATE_HZ * 12, offset)
        silence[::2] *= -1
        assert heard(silence.astype("<f4").tobytes()) == []


# --- clipped ---


@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "far above 1"])
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_speech_that_is_clipped_is_told_once(path: Path, is_cut: bool) -> None:
    """By the microphone, or by the server that takes nothing above 1."""
    loud = repeated(speech(path), 40) * 12 / np.abs(speech(path)).max()
    (advice,) = heard((np.clip(loud, -1, 1) if is_cut else loud).astype("<f4").tobytes())
    assert advice.startswith("the audio is cut off at full volume: lower the gain")


# --- the wrong format ---


def swapped(kind: str, scale: float = 1.0) -> Change:
    return lambda s: (s * scale).astype(kind)


WRONG: dict[str, tuple[Change, str]] = {
    "int16": (swapped("<i2", 32767), "looks like int16: send little-endian float32 from -1 to 1"),
    "big-endian int16": (swapped(">i2", 32767), "looks like big-endian int16: send"),
    "int32": (lambda s: (s * 2147483647.0 + 3456.0).astype("<i4"), "looks like int32: send"),
    "float64": (swapped("<f8"), "looks like float64: send little-endian float32"),
    "float64 made with care": (lambda s: s.astype("<f8") * 0.87654321, "looks like float64"),
    "big-endian float64": (swapped(">f8"), "looks like big-endian float64"),
    "big-endian": (swapped(">f4"), "looks like big-endian float32: send little-endian"),
    "big-endian made with care": (
        lambda s: (s * np.float32(0.8765432)).astype(">f4"),
        "looks like big-endian float32",
    ),
    "not divided": (swapped("<f4", 32767), "samples far above 1: send little-endian float32"),
}


@pytest.mark.parametrize(("change", "advice"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_wrong_format_is_named(path: Path, change: Change, advice: str) -> None:
    samples = repeated(speech(path), 4)
    data = change(samples).tobytes()
    (told,) = heard(data[: round(SOON_S * SAMPLE_RATE_HZ) * 8], size=8192)
    assert advice in told


@pytest.mark.parametrize("gain", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("kind", ["<i2", ">i2"])
def test_a_quiet_room_in_int16_is_named(gain: float, kind: str) -> None:
    room = np.random.default_rng(2).normal(0, gain, SAMPLE_RATE_HZ * 4) * 32767
    (told,) = heard(np.clip(room, -32768, 32767).astype(kind).tobytes())
    assert "int16" in told


def test_compressed_audio_is_no_samples() -> None:
    (told,) = heard(np.random.default_rng(3).bytes(200_000))
    assert "is not float32: send little-endian float32 from -1 to 1, 16 kHz" in told


def test_silence_first_hides_nothing() -> None:
    silence = bytes(4 * SAMPLE_RATE_HZ * 60)
    samples = (repeated(speech(RECORDINGS[0]), 5) * 32767).astype("<i2")
    (told,) = heard(silence + samples.tobytes())
    assert "int16" in told


# --- the wrong rate ---


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("size", [512, 4096, 32_768])
def test_a_wrong_rate_is_named(rate_hz: int, size: int) -> None:
    samples = np.resize(speech(RECORDINGS[0]), round(rate_hz * RATE_SOON_S))
    (told,) = heard(samples.astype("<f4").tobytes(), rate_hz, size)
    assert f"{rate_hz} samples of audio arrive in a second, in place of 16000: resample" in told


def test_a_wrong_rate_is_named_over_a_network_that_is_late() -> None:
    assert sent_late(48_000, late_s=0.08)


@pytest.mark.parametrize("late_s", [0.0, 0.1, 0.5, 2.0])
def test_a_right_rate_over_a_network_that_is_late_is_never_complained_about(late_s: float) -> None:
    assert not sent_late(SAMPLE_RATE_HZ, late_s)


def sent_late(rate_hz: int, late_s: float) -> list[str]:
    """Each message is late by up to this, and none overtakes another."""
    random, microphone, arrives_s, told = np.random.default_rng(4), Microphone(), 0.0, []
    for number in range(40 * rate_hz // 1024):
        arrives_s = max(arrives_s, number * 1024 / rate_hz + random.uniform(0, late_s))
        told.append(microphone.hear(bytes(4096), arrives_s))
    return [text for text in told if text]


@pytest.mark.parametrize("speed", [1.5, 2.0, 3.0, 50.0])
def test_a_client_that_catches_up_is_never_complained_about(speed: float) -> None:
    """5 s of what was said into a dead socket, and of each further outage."""
    microphone, now_s, told = Microphone(), 0.0, []
    for number in range(4000):
        told.append(microphone.hear(bytes(4096), now_s))
        now_s += 1024 / SAMPLE_RATE_HZ / (speed if number % 400 < 80 else 1.0)
    assert not any(told)


def test_a_client_that_sends_only_while_somebody_speaks_is_never_complained_about() -> None:
    microphone, now_s, told = Microphone(), 0.0, []
    for number in range(2000):
        told.append(microphone.hear(bytes(4096), now_s))
        now_s += 0.064 if number % 30 else 1.984
    assert not any(told)


def test_a_recording_that_is_sent_at_once_is_never_complained_about() -> None:
    microphone = Microphone()
    assert not any(microphone.hear(bytes(4096), number * 0.0001) for number in range(3000))


# --- what it costs ---


def test_after_the_first_seconds_of_sound_nothing_is_kept_or_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(
        "serve_app.protocol.microphone.format_advice", lambda block: looks.append(len(block)) or ""
    )
    assert heard(repeated(speech(RECORDINGS[0]), 120).astype("<f4").tobytes()) == []
    assert len(looks) == 10 and max(looks) < 70_000
