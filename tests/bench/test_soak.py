"""The arithmetic of the soak: what it calls a leak, and what it does not."""

import random

import pytest

from bench.long_call_samples import Look
from bench.soak_figures import gone, left_behind, table, theil_sen, trends, unseen
from bench.soak_hostile import (
    VISITS,
    Visit,
    big_frame,
    bomb,
    broken_message,
    garbage,
    guessed_token,
    text_frame,
)
from tests.ingress.real_ingress import serving

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


VISITS_AN_HOUR = 2 * 3600


@pytest.mark.parametrize("minutes", [2.0, 10.0, 60.0])
@pytest.mark.parametrize("figure", ["descriptors", "tasks"])
def test_one_a_visit_is_found(minutes: float, figure: str) -> None:
    assert grown(looks(minutes, **{figure: VISITS_AN_HOUR})) == [figure]


@pytest.mark.parametrize("figure", ["descriptors", "tasks"])
def test_one_that_a_single_kind_of_visit_leaves_is_found_in_ten_minutes(figure: str) -> None:
    assert grown(looks(10.0, **{figure: VISITS_AN_HOUR / len(VISITS)})) == [figure]


@pytest.mark.parametrize(("minutes", "kib"), [(2.0, 160), (10.0, 50), (10.0, 20), (60.0, 4)])
def test_memory_that_a_visit_leaves_is_found(minutes: float, kib: float) -> None:
    assert grown(looks(minutes, uss=VISITS_AN_HOUR * kib / 1024)) == ["uss"]


def test_what_was_not_seen_is_not_called_flat() -> None:
    """The process that asks for tasks has ended; a run is too short; a role is not there."""
    seen = looks()
    assert unseen(trends(seen), ["ingress"]) == []
    for look in seen:
        del look.processes["ingress 7"]["tasks"]
    assert unseen(trends(seen), ["ingress"]) == ["ingress: tasks"]
    assert len(unseen(trends(looks(1.0)), ["ingress"])) == 4
    assert len(unseen(trends(seen), ["STT"])) == 4


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


def test_a_process_that_dies_early_is_named_although_another_takes_its_place() -> None:
    seen = looks()
    for look in seen[2:]:
        look.processes["ingress 8"] = look.processes.pop("ingress 7")
    assert gone(seen, ["ingress"]) == ["ingress 7"]


def test_what_is_left_at_rest_is_named() -> None:
    before, after = (Look(0.0, {"ingress 7": {"descriptors": d, "tasks": t, "uss": u}}, {})
                     for d, t, u in ((60.0, 20.0, 100.0), (90.0, 25.0, 300.0)))  # fmt: skip
    assert left_behind(before, after) == ["ingress 7: descriptors 60 -> 90"]
    assert left_behind(after, before) == []


def test_processes_that_are_left_are_named() -> None:
    def at_rest(workers: int) -> Look:
        return Look(0.0, {f"idle worker {n}": {"descriptors": 9.0} for n in range(workers)}, {})

    assert left_behind(at_rest(3), at_rest(6)) == []
    assert left_behind(at_rest(3), at_rest(20)) == ["processes 3 -> 20"]


def test_tasks_that_are_not_seen_at_the_end_are_named() -> None:
    before, after = (Look(0.0, {"ingress 7": sample}, {}) for sample in ({"tasks": 20.0}, {}))
    assert left_behind(before, after) == ["ingress 7: tasks 20 -> not seen"]


def test_the_report_names_what_grew() -> None:
    header, _, row = table(trends(looks(tasks=400.0)))
    assert header.count("|") == row.count("|")
    assert row.startswith("| ingress | ") and row.endswith(" **tasks** |")


def test_every_visit_says_what_it_does_by_its_name() -> None:
    assert len({visit.__name__ for visit in VISITS}) == len(VISITS) == 12


@pytest.mark.parametrize(
    ("visit", "said"),
    [
        (garbage, {"1007"}),
        (broken_message, {"1007", "4400"}),
        (text_frame, {"1003"}),
        (big_frame, {"1009"}),
        (bomb, {"1007"}),
        (guessed_token, {"4503"}),  # no session actor is here: they were to be asked
    ],
)
async def test_a_visit_does_its_harm(visit: Visit, said: set[str]) -> None:
    """At the real ingress: refused for what it is meant to do, and for nothing before that. Of
    broken messages, some are none."""
    async with serving() as server:
        heard = {await visit(server.url, random.Random(seed)) for seed in range(4)}
    assert said & heard == said
    assert heard <= said | {"left"}
