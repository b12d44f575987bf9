"""The arithmetic of the long call: what counts as flat."""

from pathlib import Path

import pytest

from bench.long_call import _BEGIN, _END, _write
from bench.long_call_figures import ALL, STORE, Course, courses, grown, store_line, table
from bench.long_call_samples import OTHER, Look, role_of

_LOOKS = 41


def looks(growth_mib: float = 0.0, tasks: int = 0, jump_mib: float = 0.0) -> list[Look]:
    """An hour, in which an ingress grows by so much, after it has warmed up by 50 MiB."""
    found = []
    for number in range(_LOOKS):
        share = number / (_LOOKS - 1)
        uss = 100.0 + min(50.0, 200.0 * share) + growth_mib * share
        uss += jump_mib if number == _LOOKS - 1 else 0.0
        ingress = {"uss": uss, "descriptors": 60.0, "threads": 30.0, "tasks": 20 + tasks * share}
        processes = {"ingress 7": ingress, "raylet 8": {"uss": 30.0}}
        if number % 3 == 0:
            processes[f"idle worker {number}"] = {"uss": 500.0}
        found.append(Look(share * 3600, processes, {"objects": 3.0, "bytes": 1e6}))
    return found


def what_grew(seen: list[Look]) -> list[str]:
    return [f"{course.process} {course.figure}" for course in grown(courses(seen))]


def test_a_server_that_only_warms_up_is_flat() -> None:
    assert what_grew(looks()) == []


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        (looks(growth_mib=40.0), "ingress 7 uss"),
        (looks(tasks=100), "ingress 7 tasks"),
    ],
    ids=["memory", "tasks"],
)
def test_what_grows_all_the_time_is_found(seen: list[Look], found: str) -> None:
    assert found in what_grew(seen)


def test_one_look_at_a_busy_moment_is_no_growth() -> None:
    assert what_grew(looks(jump_mib=200.0)) == []


def test_the_slope_leaves_out_the_first_quarter() -> None:
    slopes = {c.process: c.per_hour for c in courses(looks(growth_mib=8.0)) if c.figure == "uss"}
    assert slopes["ingress 7"] == pytest.approx(8.0)
    assert slopes["raylet 8"] == pytest.approx(0.0)


def test_processes_that_come_and_go_count_only_in_the_sum() -> None:
    found = courses(looks())
    assert {c.process for c in found} == {"ingress 7", "raylet 8", ALL, STORE}
    processes = [c for c in found if c.figure == "processes"]
    assert [(c.process, c.first) for c in processes] == [(ALL, 2.0)]


def test_the_report_has_a_row_for_each_process() -> None:
    found = courses(looks(growth_mib=40.0))
    rows = list(table(found))
    assert len(rows) == 5 and len({row.count("|") for row in rows}) == 1
    assert rows[3].startswith("| ingress | ") and rows[3].endswith(" uss |")
    assert rows[4].startswith("| raylet | 30.0, 30.0, 30.0 | +0.0 |") and rows[4].endswith(" yes |")
    assert "3, 3, 3 objects" in store_line(found)


def test_a_call_that_is_too_short_has_no_figures() -> None:
    assert courses(looks()[:3]) == []
    assert store_line([]) == "Ray's object store: not seen"


def test_flat_is_a_rule() -> None:
    assert Course("a", "uss", 10, 100, 109, 0).is_flat
    assert not Course("a", "uss", 10, 100, 109.1, 0).is_flat


def test_roles_by_the_command_line() -> None:
    assert role_of("ray::ServeReplica:echo:Ingress") == "ingress"
    assert role_of("python -u /x/ray/autoscaler/_private/monitor.py --a") == "Ray's autoscaler"
    assert role_of("python -u /x/ray/_private/log_monitor.py") == "Ray's log monitor"
    assert role_of("/bin/sh") == OTHER


def test_a_report_takes_the_place_of_the_last_one(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{_BEGIN}\n\nold\n\n{_END}\n\nMore.\n")
    _write(page, ["new", "report"])
    assert page.read_text() == f"# Title\n\n{_BEGIN}\n\nnew\nreport\n\n{_END}\n\nMore.\n"
