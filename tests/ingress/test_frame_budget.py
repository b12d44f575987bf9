"""What a budget lets through, by the clock that it is given."""

import pytest

from serve_app.errors import ConfigError
from serve_app.ingress.frame_budget import FrameBudget
from serve_app.settings.environment import load
from serve_app.settings.socket_limits import SocketLimits


def test_what_is_refused_says_which_rate_it_was() -> None:
    limits = SocketLimits(control_frames=1, frames=2, bytes=1 << 20)
    budget = FrameBudget(limits)
    assert budget.control_frame(0.0) == ""
    assert budget.control_frame(0.0) == "more than 5 pings and pongs a second"
    assert budget.data_frame((1 << 20) + 1, True, 0.0) == "more than 262144 bytes a second"
    assert budget.data_frame(1, True, 0.0) == ""
    assert budget.data_frame(1, True, 0.0) == "more than 250 frames a second"


def test_the_frames_of_a_message_are_counted_until_it_is_whole() -> None:
    budget = FrameBudget(SocketLimits(fragments=3))
    for _ in range(5):
        parts = [budget.data_frame(0, is_last, 0.0) for is_last in (False, False, True)]
        assert parts == ["", "", ""]
    assert budget.data_frame(0, False, 0.0) == ""
    assert budget.data_frame(0, False, 0.0) == ""
    assert budget.data_frame(0, False, 0.0) == "a message in more than 3 frames"


def test_the_largest_message_fits_or_the_server_does_not_start() -> None:
    limits = {"message_bytes": 8 << 20}
    with pytest.raises(ConfigError, match=r"limits\.message_bytes is more than"):
        load({"ingress": {"limits": limits}}, {})
    settings = load({"ingress": {"limits": limits, "socket": {"bytes": 8 << 20}}}, {}).ingress
    budget = FrameBudget(settings.socket)
    assert budget.data_frame(settings.limits.message_bytes, True, 0.0) == ""
