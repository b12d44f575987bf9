"""Formats: what libsndfile makes of the same bytes, and streams that do not depend on how they were
cut."""

import io

import numpy as np
import pytest
import soundfile

from serve_app.protocol.messages import Samples
from serve_app.protocol.sound import A_LAW, MU_LAW, PCM, Ears, Format

EVERY_BYTE = bytes(range(256))


@pytest.mark.parametrize(("format_", "subtype"), [(MU_LAW, "ULAW"), (A_LAW, "ALAW")])
def test_g711_is_decoded_as_by_libsndfile(format_: Format, subtype: str) -> None:
    raw = io.BytesIO(EVERY_BYTE)
    theirs, _ = soundfile.read(
        raw, samplerate=8000, channels=1, format="RAW", subtype=subtype, dtype="float32"
    )
    assert np.array_equal(format_.decode(EVERY_BYTE), theirs)


@pytest.mark.parametrize("format_", [MU_LAW, A_LAW])
def test_g711_is_encoded_as_the_nearest_value(format_: Format) -> None:
    decoded = (format_.decode(EVERY_BYTE) * 32768).astype("<i2")
    again = format_.decode(format_.encode(decoded.tobytes()))
    assert np.array_equal(again, decoded / np.float32(32768))
    loudest = np.array([-32768, 32767], "<i2").tobytes()
    assert np.abs(format_.decode(format_.encode(loudest))).min() > 0.97


def test_pcm_is_left_as_it_is() -> None:
    pcm = np.arange(-300, 300, dtype="<i2").tobytes()
    assert PCM.encode(pcm) == pcm


def heard(format_: Format, tone_hz: float, cut_ms: int = 20) -> Samples:
    """What the conversation hears of a second of a tone at a quarter of full volume."""
    seconds = np.arange(format_.rate_hz) / format_.rate_hz
    tone = (8192 * np.sin(2 * np.pi * tone_hz * seconds)).astype("<i2").tobytes()
    data, ears = format_.encode(tone), Ears(format_)
    cut = format_.rate_hz * cut_ms // 1000 * format_.bytes_per_sample
    return np.concatenate([ears.hear(data[at : at + cut]) for at in range(0, len(data), cut)])


def size(samples: Samples) -> float:
    return float(np.sqrt(2 * np.mean(np.square(samples[1000:]))))


@pytest.mark.parametrize("format_", [PCM, MU_LAW, A_LAW])
def test_a_tone_is_heard_at_16_khz_however_it_was_cut(format_: Format) -> None:
    whole = heard(format_, 440, cut_ms=1000)
    assert len(whole) == 16_000, "nothing is kept back"
    for cut_ms in (1, 7, 20, 40):
        assert np.allclose(whole, heard(format_, 440, cut_ms), atol=1e-6)
    assert np.abs(np.fft.rfft(whole[:8000])).argmax() * 2 == 440
    assert size(whole) == pytest.approx(0.25, rel=0.03)


@pytest.mark.parametrize(("format_", "highest_hz"), [(PCM, 6800), (MU_LAW, 3300)])
def test_speech_is_as_loud_as_it_was(format_: Format, highest_hz: float) -> None:
    for tone_hz in (100, 1000, 3000, highest_hz):
        assert size(heard(format_, tone_hz)) == pytest.approx(0.25, rel=0.03)


@pytest.mark.parametrize("tone_hz", [8600, 10_000, 11_900])
def test_what_16_khz_cannot_hold_is_not_heard_as_another_tone(tone_hz: float) -> None:
    assert size(heard(PCM, tone_hz)) < 0.25 / 500


def test_8_khz_gets_no_tones_of_its_own() -> None:
    spectrum = np.abs(np.fft.rfft(heard(MU_LAW, 3300)[:8000]))
    assert spectrum[4700 // 2] < spectrum[3300 // 2] / 500
