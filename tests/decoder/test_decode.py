"""Sound files as they come: what is in them, and what is no sound file."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile

from serve_app.decoder.decode import decode
from serve_app.decoder.results import RATE_HZ, Result
from tests.speech import clip

SPEECH = clip("librivox_0930")


def written(samples: Any, rate_hz: int = RATE_HZ, **how: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, **{"format": "WAV", **how})
    return file.getvalue()


def decoded(data: bytes, most_s: float = 60.0) -> tuple[Result, Any]:
    out = io.BytesIO()
    result = decode(data, most_s, out)
    return result, np.frombuffer(out.getvalue(), "<i2").astype(np.float32) / 32767


@pytest.mark.parametrize(
    "how",
    [
        {"subtype": "PCM_16"},
        {"subtype": "PCM_24"},
        {"subtype": "PCM_U8"},
        {"subtype": "FLOAT"},
        {"subtype": "ULAW"},
        {"subtype": "GSM610"},
        {"subtype": "G721_32"},
        {"format": "WAVEX"},
        {"format": "FLAC"},
        {"format": "OGG", "subtype": "VORBIS"},
        {"format": "OGG", "subtype": "OPUS"},
        {"format": "MP3"},
    ],
    ids=str,
)
def test_speech_is_the_same_in_each_format(how: dict[str, Any]) -> None:
    result, found = decoded(written(SPEECH, **how))
    assert result is Result.DONE
    assert len(found) == pytest.approx(len(SPEECH), abs=2500)  # MP3 pads
    length = min(len(found), len(SPEECH))
    assert np.corrcoef(found[:length], SPEECH[:length])[0, 1] > 0.97


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_it_is_resampled_and_made_mono(rate_hz: int) -> None:
    times_s = np.arange(rate_hz) / rate_hz
    tone = 0.5 * np.sin(2 * np.pi * 440 * times_s)
    result, found = decoded(written(np.stack([tone, tone], axis=1), rate_hz))
    assert result is Result.DONE and len(found) == pytest.approx(RATE_HZ, abs=2)
    assert np.abs(np.fft.rfft(found)).argmax() * RATE_HZ / len(found) == pytest.approx(440, abs=1)
    assert np.abs(found).max() == pytest.approx(0.5, abs=0.05)


def test_a_file_of_a_stream_whose_length_was_not_known_is_read_to_its_end() -> None:
    data = bytearray(written(SPEECH))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    result, found = decoded(bytes(data))
    assert result is Result.DONE and len(found) == pytest.approx(len(SPEECH), abs=2)


@pytest.mark.parametrize("format_", ["MP3", "OGG", "WAV"])
def test_a_file_that_was_cut_off_ends_where_it_was_cut(format_: str) -> None:
    """The header of an MP3 still promises all of it: what is missing is not made up."""
    minute = np.random.default_rng(1).normal(0, 0.1, 60 * RATE_HZ)
    data = written(minute, format=format_)
    result, found = decoded(data[: len(data) // 10])
    assert result is Result.DONE and len(found) / RATE_HZ == pytest.approx(5.5, abs=1.5)


def test_not_a_number_is_silence() -> None:
    samples = np.full(RATE_HZ, np.nan, np.float32)
    result, found = decoded(written(samples, subtype="FLOAT"))
    assert result is Result.DONE and not found.any()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", Result.UNKNOWN),
        (b"no sound", Result.UNKNOWN),
        (written(SPEECH)[:20], Result.UNKNOWN),
        (written(SPEECH, format="AIFF"), Result.UNKNOWN),
        (written(SPEECH, format="CAF"), Result.UNKNOWN),
        (written(SPEECH, 1_000), Result.UNUSUAL),
        (written(SPEECH, 400_000), Result.UNUSUAL),
        (written(np.zeros((100, 9))), Result.UNUSUAL),
    ],
    ids=["empty", "text", "cut", "aiff", "caf", "slow", "fast", "channels"],
)
def test_what_is_not_taken(data: bytes, expected: Result) -> None:
    assert decoded(data)[0] is expected


def test_a_file_may_not_be_longer_than_it_may_be() -> None:
    """However small it is: silence packs well."""
    hour = written(np.zeros(3600 * RATE_HZ, np.int16), format="FLAC")
    assert len(hour) < 1 << 20
    result, found = decoded(hour, most_s=10.0)
    assert result is Result.TOO_LONG and len(found) <= 12 * RATE_HZ
