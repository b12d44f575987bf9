"""How the client's loudspeaker lowers the agent's voice, and raises it again."""

import numpy as np

from serve_app.client.playback import Playback, Received
from serve_app.client.volume import Volume
from serve_app.protocol.formats import parse_format

RATE_HZ = 16_000


def gains(volume: Volume, ms: int) -> np.ndarray:
    """Of the next milliseconds."""
    loud = np.full(ms * RATE_HZ // 1000, 10_000, dtype="<i2")
    return np.frombuffer(volume.apply(loud.tobytes()), dtype="<i2") / 10_000


def test_it_is_lowered_within_30_ms_and_raised_within_200() -> None:
    volume = Volume(RATE_HZ)
    volume.duck(True)
    down = gains(volume, 30)
    assert down[0] > 0.99 and abs(down[-1] - 0.3) < 0.002
    assert (abs(gains(volume, 100) - 0.3) < 0.002).all()
    volume.duck(False)
    up = gains(volume, 200)
    assert up[0] < 0.31 and up[-1] > 0.998


def test_there_are_no_clicks_wherever_the_audio_is_cut() -> None:
    volume, heard = Volume(RATE_HZ), []
    for i in range(30):
        volume.duck(i % 7 < 3)
        heard.append(gains(volume, 11))
    assert abs(np.diff(np.concatenate(heard))).max() < 0.003


def test_the_next_reply_has_its_full_volume() -> None:
    volume = Volume(RATE_HZ)
    volume.duck(True)
    gains(volume, 50)
    volume.reset()
    assert (gains(volume, 10) == 1).all()


class Loud:
    """A loudspeaker of a program that was written before there was `duck`."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def play(self, audio: bytes) -> None:
        self.told.append(len(audio))

    def stop(self) -> None:
        self.told.append("stop")


class Soft(Loud):
    def duck(self, on: bool) -> None:
        self.told.append(on)


def test_a_loudspeaker_that_can_is_told() -> None:
    for loudspeaker, expected in ((Loud(), []), (Soft(), [True, False])):
        playback = Playback(parse_format("pcm_16000"), loudspeaker)
        for on in (True, False):
            playback.take(Received(0.0, "duck", {"on": on}))
        assert loudspeaker.told == expected
