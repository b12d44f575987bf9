"""The circuit breaker in virtual time."""

import pytest

from serve_app.agent.breaker import Breaker
from serve_app.settings.agent import BreakerSettings


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(BreakerSettings(failures=3, cool_down_s=30))


def opened(breaker: Breaker, at_s: float) -> Breaker:
    for _ in range(3):
        assert breaker.admits(at_s)
        breaker.failed(at_s)
    assert breaker.is_open
    return breaker


def test_failures_in_a_row_open_it(breaker: Breaker) -> None:
    for is_enough in (False, False, True):
        assert breaker.admits(10.0)
        breaker.failed(10.0)
        assert breaker.is_open is is_enough
    assert not breaker.admits(10.0)


def test_a_success_resets_the_count(breaker: Breaker) -> None:
    for _ in range(5):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.admits(0.0)


def test_a_final_failure_opens_it_at_once(breaker: Breaker) -> None:
    breaker.failed(0.0, is_final=True)
    assert not breaker.admits(29.9)
    assert breaker.admits(30.0)


def test_after_the_cool_down_one_trial_is_let_through(breaker: Breaker) -> None:
    opened(breaker, 10.0)
    assert not breaker.admits(39.9)
    assert breaker.admits(40.0)
    assert not breaker.admits(40.0), "while the trial is under way"
    assert not breaker.admits(1000.0)


def test_the_trials_success_closes_it(breaker: Breaker) -> None:
    opened(breaker, 10.0)
    assert breaker.admits(40.0)
    breaker.succeeded()
    assert not breaker.is_open
    breaker.failed(41.0)
    assert breaker.admits(41.0), "the count was reset"


def test_the_trials_failure_opens_it_again(breaker: Breaker) -> None:
    opened(breaker, 10.0)
    assert breaker.admits(40.0)
    breaker.failed(45.0)
    assert not breaker.admits(74.9)
    assert breaker.admits(75.0)


def test_a_trial_that_was_given_up_makes_room_for_the_next(breaker: Breaker) -> None:
    opened(breaker, 10.0)
    assert breaker.admits(40.0)
    breaker.abandoned()
    assert breaker.is_open
    assert breaker.admits(40.0)


def test_failures_of_calls_that_began_before_do_not_extend_the_cool_down(breaker: Breaker) -> None:
    opened(breaker, 10.0)
    breaker.failed(35.0)
    assert breaker.admits(40.0)
