"""What is counted, and until when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.access import usage as usage_module
from serve_app.access.usage import Usage
from serve_app.errors import LimitReached
from serve_app.settings.access import UseLimits

DAY_S = 86_400
NOON_S = 20_000 * DAY_S + DAY_S / 2


def is_let_in(usage: Usage, name: str, now_s: float, is_new: bool = True) -> bool:
    try:
        usage.may_begin(name, now_s, is_new)
    except LimitReached as error:
        assert len(str(error).encode()) <= 123, "RFC 6455: the limit of a close reason"
        return False
    usage.begin(name, now_s, is_new)
    return True


def test_connections_are_of_each_name() -> None:
    usage = Usage(UseLimits(connections=2), "key")
    assert [is_let_in(usage, "ada", NOON_S) for _ in range(3)] == [True, True, False]
    assert is_let_in(usage, "ben", NOON_S)
    usage.end("ada", NOON_S, NOON_S + 1)
    assert is_let_in(usage, "ada", NOON_S + 1)


def test_sessions_are_counted_until_midnight_in_utc() -> None:
    usage = Usage(UseLimits(sessions_a_day=1), "key")
    assert is_let_in(usage, "ada", NOON_S)
    assert not is_let_in(usage, "ada", NOON_S + DAY_S / 2 - 1)
    assert is_let_in(usage, "ada", NOON_S, is_new=False), "it goes on with its session"
    assert is_let_in(usage, "ada", NOON_S + DAY_S / 2)


def test_minutes_of_several_connections_add_up() -> None:
    usage = Usage(UseLimits(minutes_a_day=10), "key")
    usage.begin("ada", NOON_S, True)
    usage.begin("ada", NOON_S + 60, True)
    usage.end("ada", NOON_S, NOON_S + 240)  # 4 minutes, and 3 of the other
    usage.check("ada", NOON_S + 419)
    with pytest.raises(LimitReached, match="10 minutes a day"):
        usage.check("ada", NOON_S + 420)
    assert not is_let_in(usage, "ada", NOON_S + 420)


def test_a_connection_over_midnight_counts_for_each_day_what_is_of_it() -> None:
    usage = Usage(UseLimits(minutes_a_day=60), "key")
    midnight_s = NOON_S + DAY_S / 2
    usage.begin("ada", midnight_s - 3000, True)
    usage.check("ada", midnight_s + 3599)
    with pytest.raises(LimitReached):
        usage.check("ada", midnight_s + 3600)
    usage.end("ada", midnight_s - 3000, midnight_s + 3600)
    assert not is_let_in(usage, "ada", midnight_s + 3601)
    assert is_let_in(usage, "ada", midnight_s + DAY_S)


def test_memory_has_a_bound_and_live_connections_are_never_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(usage_module, "_MOST_NAMES", 10)
    usage = Usage(UseLimits(connections=1), "address")
    usage.begin("live", NOON_S, True)
    for number in range(100):
        usage.begin(str(number), NOON_S, True)
        usage.end(str(number), NOON_S, NOON_S)
    assert len(usage._uses) <= 10
    assert not is_let_in(usage, "live", NOON_S)


@given(
    st.lists(
        st.tuples(st.floats(0, 3 * DAY_S, width=32), st.floats(0, DAY_S, width=32)), max_size=20
    )
)
def test_when_all_have_left_nobody_is_here_whatever_the_order(
    calls: list[tuple[float, float]],
) -> None:
    usage = Usage(UseLimits(connections=1000, minutes_a_day=10_000_000), "key")
    events = sorted(
        [(began, 0, began) for began, _ in calls]
        + [(began + lasted, 1, began) for began, lasted in calls]
    )
    for now_s, is_end, began_s in events:
        if is_end:
            usage.end("ada", began_s, now_s)
        else:
            usage.begin("ada", now_s, True)
    if calls:
        use = usage._of("ada", events[-1][0])
        assert use.connections == 0
        assert use.live_since_s == pytest.approx(0, abs=1e-3)
        assert use.ended_s >= -1e-3
