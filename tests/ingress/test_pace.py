"""How fast a client may send: nobody who talks waits, a flood waits and is then closed."""

from collections.abc import Callable

import pytest

from serve_app.errors import TooFast
from serve_app.ingress.pace import Pace
from serve_app.settings.limits import AUDIO_BYTES_PER_S, MessageLimits

LIMITS = MessageLimits()
AROUND = 27
"""Bytes of a message besides its audio."""


def paced() -> Pace:
    return Pace(LIMITS.rates)


class Client:
    """Sends as fast as it is read, or as fast as it can, in virtual time."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.now_s = 0.0
        self.waited_s = 0.0
        self.sent_s = 0.0

    def send_audio(self, seconds: float) -> None:
        self._wait(self.pace.message(round(seconds * AUDIO_BYTES_PER_S) + AROUND, self.now_s))
        self.sent_s += seconds

    def type(self, size: int) -> None:
        self._wait(self.pace.message(size + AROUND, self.now_s))
        self._wait(self.pace.text(size, self.now_s))

    def _wait(self, wait_s: float) -> None:
        self.waited_s += wait_s
        self.now_s += wait_s


@pytest.mark.parametrize("chunk_s", [0.008, 0.01, 0.02, 0.032, 0.1, 0.256, 1.0])
@pytest.mark.parametrize("rate", [1.0, 1.001, 3.0])
def test_a_microphone_of_any_chunks_and_rate_never_waits(chunk_s: float, rate: float) -> None:
    """For ten minutes, with what a client says of its playback in between. 48 kHz is three times as
    much: such a client is told, and goes on."""
    if chunk_s / rate < 1 / (LIMITS.messages_per_s - 10):
        pytest.skip("nobody sends so many messages of a wrong rate")
    client = Client(paced())
    while client.now_s < 600:
        client.send_audio(chunk_s)
        client.now_s += chunk_s / rate
        if int(client.now_s * 100) % 25 == 0:
            client.pace.message(60, client.now_s)
    assert client.waited_s == 0


@pytest.mark.parametrize("stall_s", [5.0, 15.0, 29.0])
def test_a_client_that_catches_up_never_waits(stall_s: float) -> None:
    """Its network stalled, or it came back and says again what was not heard; again a minute
    later."""
    client = Client(paced())
    for _ in range(5):
        for _ in range(round(stall_s / 0.032)):
            client.send_audio(0.032)
        for _ in range(round(60 / 0.032)):
            client.send_audio(0.032)
            client.now_s += 0.032
    assert client.waited_s == 0


def test_a_longer_stall_is_caught_up_with_more_than_three_times_as_fast() -> None:
    client = Client(paced())
    for _ in range(round(45 / 0.032)):
        client.send_audio(0.032)
    assert client.waited_s == pytest.approx((45 - LIMITS.burst_s) / LIMITS.real_time, rel=0.05)


def test_texts_that_are_sent_again_after_a_resume_do_not_wait() -> None:
    client = Client(paced())
    for _ in range(64):
        client.type(200)
    assert client.waited_s == 0


FLOODS: dict[str, Callable[[Client], None]] = {
    "50 times real time": lambda client: client.send_audio(0.128),
    "1 MiB a message": lambda client: client.send_audio(16.0),
    "one sample a message": lambda client: client.send_audio(1 / 16_000),
    "texts of 32 KiB": lambda client: client.type(32 << 10),
    "texts of a letter": lambda client: client.type(1),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_slowed_and_then_closed(name: str) -> None:
    client = Client(paced())
    with pytest.raises(TooFast):
        for _ in range(100_000):
            FLOODS[name](client)
    assert client.now_s == client.waited_s <= LIMITS.patience_s
    assert client.waited_s > 0.25 * LIMITS.patience_s, "it has a chance to slow down"
    assert client.sent_s <= LIMITS.burst_s + LIMITS.real_time * LIMITS.patience_s + 16


def test_a_flood_that_pauses_for_a_moment_is_the_same_flood() -> None:
    """Each pause leaves room for the next message, but not for a second of them."""
    client = Client(paced())
    with pytest.raises(TooFast):
        for number in range(1_000_000):
            client.send_audio(0.128)
            client.now_s += 0.05 if number % 2 else 0
    assert client.now_s < 60


def test_who_has_slowed_down_is_forgiven() -> None:
    client = Client(paced())
    for _ in range(10):
        while client.waited_s < 5:
            client.send_audio(0.128)
        client.waited_s = 0
        for _ in range(100):
            client.send_audio(0.032)
            client.now_s += 0.032
    assert client.now_s > 50


def test_the_largest_message_and_text_always_fit_into_a_burst() -> None:
    """Or nobody could ever send one."""
    rates = MessageLimits(burst_s=0.1, text_burst_bytes=1).rates
    assert rates.bytes.burst >= MessageLimits().message_bytes
    assert rates.text_bytes.burst >= MessageLimits().text_bytes
