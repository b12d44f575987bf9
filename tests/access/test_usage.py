"""What is counted, and until when."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.access import usage as usage_module
from serve_app.access.usage import Usage
from serve_app.errors import LimitReached
from serve_app.settings.access import UseLimits

DAY_S = 86_400
NOON_S = 20_000 * DAY_S + DAY_S / 2


_names = (f"session-{number}" for number in count())


def is_let_in(
    usage: Usage, name: str, now_s: float, is_new: bool = True, session: str = ""
) -> bool:
    session = session or next(_names)
    try:
        usage.may_begin(name, session, now_s, is_new)
    except LimitReached as error:
        assert len(str(error).encode()) <= 123, "RFC 6455: the limit of a close reason"
        return False
    usage.begin(name, session, now_s, is_new)
    return True


def test_connections_are_of_each_name() -> None:
    usage = Usage(UseLimits(connections=2), "key")
    assert [is_let_in(usage, "ada", NOON_S, session=s) for s in "abc"] == [True, True, False]
    assert is_let_in(usage, "ben", NOON_S)
    usage.end("ada", "a", NOON_S + 1)
    assert is_let_in(usage, "ada", NOON_S + 1)


def test_a_session_that_moves_keeps_its_place_and_takes_no_other() -> None:
    usage = Usage(UseLimits(connections=2, minutes_a_day=10), "key")
    assert is_let_in(usage, "ada", NOON_S, session="a")
    assert is_let_in(usage, "ada", NOON_S + 60, is_new=False, session="a")
    assert is_let_in(usage, "ada", NOON_S + 60, session="b"), "the first one has one place"
    assert is_let_in(usage, "ada", NOON_S + 60, is_new=False, session="a"), "at the limit, too"
    for _ in range(2):
        usage.end("ada", "a", NOON_S + 120)
        assert not is_let_in(usage, "ada", NOON_S + 120, session="c"), "it has its place still"
    usage.end("ada", "a", NOON_S + 300)
    assert is_let_in(usage, "ada", NOON_S + 300, session="c")
    assert not is_let_in(usage, "ada", NOON_S + 300, is_new=False, session="a"), "it came too late"
    usage.check("ada", NOON_S + 329)  # 300 s of the first, then 269 and 29
    with pytest.raises(LimitReached, match="10 minutes a day"):
        usage.check("ada", NOON_S + 330)


def test_sessions_are_counted_until_midnight_in_utc() -> None:
    usage = Usage(UseLimits(sessions_a_day=1), "key")
    assert is_let_in(usage, "ada", NOON_S)
    assert not is_let_in(usage, "ada", NOON_S + DAY_S / 2 - 1)
    assert is_let_in(usage, "ada", NOON_S, is_new=False), "it goes on with its session"
    assert is_let_in(usage, "ada", NOON_S + DAY_S / 2)


def test_minutes_of_several_connections_add_up() -> None:
    usage = Usage(UseLimits(minutes_a_day=10), "key")
    usage.begin("ada", "a", NOON_S, True)
    usage.begin("ada", "b", NOON_S + 60, True)
    usage.end("ada", "a", NOON_S + 240)  # 4 minutes, and 3 of the other
    usage.check("ada", NOON_S + 419)
    with pytest.raises(LimitReached, match="10 minutes a day"):
        usage.check("ada", NOON_S + 420)
    assert not is_let_in(usage, "ada", NOON_S + 420)


def test_a_connection_over_midnight_counts_for_each_day_what_is_of_it() -> None:
    usage = Usage(UseLimits(minutes_a_day=60), "key")
    midnight_s = NOON_S + DAY_S / 2
    usage.begin("ada", "a", midnight_s - 3000, True)
    usage.check("ada", midnight_s + 3599)
    with pytest.raises(LimitReached):
        usage.check("ada", midnight_s + 3600)
    usage.end("ada", "a", midnight_s + 3600)
    assert not is_let_in(usage, "ada", midnight_s + 3601)
    assert is_let_in(usage, "ada", midnight_s + DAY_S)


def test_memory_has_a_bound_and_live_connections_are_never_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(usage_module, "_MOST_NAMES", 10)
    usage = Usage(UseLimits(connections=1), "address")
    usage.begin("live", "a", NOON_S, True)
    for number in range(100):
        usage.begin(str(number), "a", NOON_S, True)
        usage.end(str(number), "a", NOON_S)
    assert len(usage._uses) <= 10
    assert not is_let_in(usage, "live", NOON_S)


@settings(deadline=None)
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
        [(began, 0, str(number)) for number, (began, _) in enumerate(calls)]
        + [(began + lasted, 1, str(number)) for number, (began, lasted) in enumerate(calls)]
    )
    for now_s, is_end, session in events:
        if is_end:
            usage.end("ada", session, now_s)
        else:
            usage.begin("ada", session, now_s, True)
    if calls:
        use = usage._of("ada", events[-1][0])
        assert not use.places
        assert use.live_since_s == pytest.approx(0, abs=1e-3)
        assert use.ended_s >= -1e-3
