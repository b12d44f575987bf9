import numpy as np
import pytest

from serve_app.agent.tts.resample import PcmResampler


def sine(hz: float, rate_hz: int, seconds: float) -> bytes:
    t = np.arange(int(rate_hz * seconds)) / rate_hz
    return (10_000 * np.sin(2 * np.pi * hz * t)).astype("<i2").tobytes()


def dominant_hz(pcm: bytes, rate_hz: int) -> float:
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate_hz / len(samples))


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(22_050, 44_100), (22_050, 16_000), (44_100, 8_000), (16_000, 48_000)]
)
def test_tone_keeps_its_pitch_length_and_level(from_hz: int, to_hz: int) -> None:
    resampled = PcmResampler(from_hz, to_hz).push(sine(440, from_hz, 2.0), last=True)

    samples = np.frombuffer(resampled, dtype="<i2")
    assert len(samples) == pytest.approx(2.0 * to_hz, abs=2)
    assert dominant_hz(resampled, to_hz) == pytest.approx(440, abs=1)
    assert np.abs(samples[to_hz // 10 : -to_hz // 10]).max() == pytest.approx(10_000, rel=0.01)


@pytest.mark.parametrize("size", [2, 34, 1_000, 30_000])
def test_result_does_not_depend_on_how_the_input_is_cut(size: int) -> None:
    pcm = sine(1_000, 22_050, 0.2)
    whole = PcmResampler(22_050, 44_100).push(pcm, last=True)

    resampler = PcmResampler(22_050, 44_100)
    pieces = [resampler.push(pcm[i : i + size]) for i in range(0, len(pcm), size)]
    assert b"".join(pieces) + resampler.push(b"", last=True) == whole


def test_most_audio_comes_out_before_the_end() -> None:
    out = PcmResampler(22_050, 44_100).push(sine(440, 22_050, 1.0))
    assert len(out) > 2 * 44_100 * 0.95


def test_equal_rates_change_nothing() -> None:
    resampler = PcmResampler(16_000, 16_000)
    assert resampler.push(b"\x01\x02\x03\x04") + resampler.push(b"", last=True) == b"\1\2\3\4"


@pytest.mark.parametrize("to_hz", [16_000, 44_100])
def test_half_a_sample_is_refused(to_hz: int) -> None:
    with pytest.raises(ValueError, match="3 bytes"):
        PcmResampler(16_000, to_hz).push(b"\0\0\0")
