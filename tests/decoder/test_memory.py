"""What a decoder's process takes, beside the file itself: the bound in `docs/limits.md`."""

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.timeout(60)

MB = 1_000_000
BESIDE_THE_FILE = 4 * MB
MEASURED = """
import atexit, sys
from pathlib import Path
def peak():
    status = Path("/proc/self/status").read_text()
    print(status.split("VmHWM:")[1].split()[0], file=sys.stderr)
atexit.register(peak)
from serve_app.decoder.decode import main
main()
"""


def written(seconds: int, rate_hz: int, channels: int, format_: str) -> bytes:
    """Noise, which packs worst. A second at a time: libsndfile's Vorbis takes no more."""
    data, rng = io.BytesIO(), np.random.default_rng(1)
    with soundfile.SoundFile(data, "w", rate_hz, channels, format=format_) as file:
        for _ in range(seconds):
            file.write(rng.normal(0, 0.1, (rate_hz, channels)))
    return data.getvalue()


def peak(data: bytes) -> int:
    """Bytes."""
    command = [sys.executable, "-c", MEASURED, "600"]
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    return int(done.stderr.split()[-1]) * 1024


@pytest.mark.parametrize(
    ("seconds", "rate_hz", "channels", "format_"),
    [
        (300, 16_000, 1, "WAV"),
        (300, 16_000, 1, "FLAC"),
        (300, 16_000, 1, "MP3"),
        (300, 16_000, 1, "OGG"),
        (8, 192_000, 8, "FLAC"),
    ],
)
def test_it_takes_little_beside_the_file(
    seconds: int, rate_hz: int, channels: int, format_: str
) -> None:
    data = written(seconds, rate_hz, channels, format_)
    assert len(data) > MB
    beside = peak(data) - peak(written(1, 16_000, 1, "WAV")) - len(data)
    assert beside < BESIDE_THE_FILE, f"{beside / MB:.1f} MB"
