"""The arithmetic of the soak: what it calls a leak, and what it does not."""

import random

import pytest

from bench.long_call_samples import Look
from bench.soak_figures import gone, left_behind, table, theil_sen, trends
from bench.soak_hostile import VISITS

_EVERY_S = 4.0


def looks(minutes: float = 10.0, **leaks: float) -> list[Look]:
    """An ingress that warms up by 40 MiB in the first minute, wanders, and leaks so much of
    each figure an hour."""
    by = random.Random(1)
    found = []
    for number in range(int(minutes * 60 / _EVERY_S)):
        at_s = number * _EVERY_S
        ingress = {
            "uss": 130 + min(40.0, at_s) + by.gauss(0, 1.5),
            "descriptors": 80.0 + by.randint(-5, 5),
            "threads": 32.0,
            "tasks": 70.0 + by.randint(-12, 12),
        }
        for figure, an_hour in leaks.items():
            ingress[figure] += an_hour * at_s / 3600
        found.append(Look(at_s, {"ingress 7": ingress}, {}))
    return found


def grown(seen: list[Look]) -> list[str]:
    return [trend.figure for trend in trends(seen) if not trend.is_flat]


def test_a_server_that_warms_up_and_wanders_is_flat() -> None:
    for minutes in (2.0, 10.0, 60.0):
        assert grown(looks(minutes)) == []


@pytest.mark.parametrize(
    ("figure", "an_hour"), [("uss", 200.0), ("descriptors", 150.0), ("tasks", 400.0)]
)
def test_a_leak_is_found_in_ten_minutes(figure: str, an_hour: float) -> None:
    assert grown(looks(**{figure: an_hour})) == [figure]


def test_a_small_leak_is_found_in_an_hour() -> None:
    assert grown(looks(60.0, uss=25.0)) == ["uss"]


def test_a_slope_and_its_interval() -> None:
    by = random.Random(2)
    points = [(float(at), 3.0 + 0.5 * at + by.gauss(0, 1)) for at in range(60)]
    slope = theil_sen([*points, (60.0, 500.0)])  # one busy moment
    assert slope.low < 0.5 < slope.high
    assert slope.middle == pytest.approx(0.5, abs=0.02)
    assert slope.high - slope.low < 0.1
    with pytest.raises(ValueError, match="four"):
        theil_sen(points[:3])


def test_a_process_that_has_died_is_named() -> None:
    seen = looks()
    last = Look(seen[-1].at_s + 1, {"ingress 8": seen[-1].processes["ingress 7"]}, {})
    assert gone(seen, ["ingress"]) == []
    assert gone([*seen, last], ["ingress"]) == ["ingress 7"]
    assert gone([*seen, last], ["STT"]) == []


def test_what_is_left_at_rest_is_named() -> None:
    before, after = (Look(0.0, {"ingress 7": {"descriptors": d, "tasks": t, "uss": u}}, {})
                     for d, t, u in ((60.0, 20.0, 100.0), (90.0, 25.0, 300.0)))  # fmt: skip
    assert left_behind(before, after) == ["ingress 7: descriptors 60 -> 90"]
    assert left_behind(after, before) == []


def test_the_report_names_what_grew() -> None:
    header, _, row = table(trends(looks(tasks=400.0)))
    assert header.count("|") == row.count("|")
    assert row.startswith("| ingress | ") and row.endswith(" **tasks** |")


def test_every_visit_says_what_it_does_by_its_name() -> None:
    assert len({visit.__name__ for visit in VISITS}) == len(VISITS) == 12
