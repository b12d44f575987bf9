"""The arithmetic of the capacity benchmark."""

from dataclasses import replace
from typing import Any

import pytest

from bench.callers import Call, Said
from bench.capacity_figures import (
    KINDS,
    Cost,
    Step,
    costs,
    endpoints_alone,
    largest_that_met,
    step_of,
    talk_of,
    total,
)
from bench.capacity_table import cost_table, cpu_table, memory_table, talk_table
from bench.processes import Load, Memory, Usage, kind_of
from bench.user import Parts, Turn


def turn(first_audio_ms: float | None = 600.0, endpoint_ms: float = 512.0, **other: Any) -> Turn:
    parts = Parts(endpoint_ms, 20.0, 10.0, 30.0)
    return replace(Turn(first_audio_ms, parts, False, False, 0.0, 0), **other)


def call(*turns: Turn, **other: Any) -> Call:
    return Call([Said("a", t) for t in turns], spoken_s=3.0, heard_s=4.0, lasted_s=10.0, **other)


def step(sessions: int, first_audio_ms: float = 600.0, ingress: float = 0.0, **other: Any) -> Step:
    calls = [call(turn(first_audio_ms), **other) for _ in range(sessions)]
    memory = {"ingress": Memory(1, 100.0 + sessions, 90.0)}
    return step_of(
        calls,
        talk_of(calls, {}),
        Load({"ingress": ingress, "clients": 2.0 * sessions}, 0.5),
        memory,
    )


# --- processes ---


def test_load_is_cpu_time_by_kind_and_the_rest_of_the_machine() -> None:
    before = Usage(10.0, 100.0, {"ingress": {1: 5.0}, "stt": {2: 7.0, 3: 1.0}})
    after = Usage(20.0, 112.0, {"ingress": {1: 6.0, 4: 2.0}, "stt": {2: 8.0}})
    load = Load.between(before, after)
    assert load.cores == pytest.approx({"ingress": 0.3, "stt": 0.1})
    assert load.others == pytest.approx(0.8)


@pytest.mark.parametrize(
    "title, kind",
    [
        ("ray::ServeReplica:echo:Ingress", "ingress"),
        ("ray::ServeReplica:echo:VoiceActivity", "vad"),
        ("ray::SessionActor", "sessions"),
        ("haproxy", "haproxy"),
        ("ray::HAProxyManager", "ray"),
        ("raylet", "ray"),
        ("", "ray"),
    ],
)
def test_processes_are_told_by_their_title(title: str, kind: str) -> None:
    assert kind_of(title) == kind


# --- what follows ---


def test_what_a_session_costs() -> None:
    found = costs(step(8, ingress=0.18), step_of([], None, Load({"ingress": 0.02}, 0.5), {}))
    assert found["ingress"].cores == pytest.approx(0.02)
    assert found["ingress"].in_a_core == pytest.approx(50)
    assert found["agent"].in_a_core == float("inf")
    assert total(found) == found["ingress"], "the clients are not the server"


def test_memory_of_a_session_is_what_came_with_it() -> None:
    assert costs(step(8), step(0))["ingress"].memory_mib == 1.0


def test_the_largest_step_that_met_the_objective() -> None:
    steps = [step(n, first_audio_ms=ms) for n, ms in ((1, 600), (4, 600), (8, 890), (12, 910))]
    assert largest_that_met(steps).sessions == 8
    lost = [step(1, lost="TimeoutError: "), step(4, lost="TimeoutError: ")]
    assert largest_that_met(lost).sessions == 1


@pytest.mark.parametrize(
    "other, missed",
    [
        (step(8, 890), ""),
        (step(8, 910), "p95 1.5 times that of one"),
        (step(8, lost="ConnectionClosed: 1013"), "8 lost (ConnectionClosed: 1013)"),
        (step(8, stale_chunks=1), "8 stale chunks"),
    ],
)
def test_the_objective(other: Step, missed: str) -> None:
    assert other.missed(step(1, 600)) == missed


def test_what_a_talk_was_like() -> None:
    alone_ms = endpoints_alone([call(turn(), turn(endpoint_ms=514.0), turn(endpoint_ms=900.0))])
    assert alone_ms == {"a": 514.0}
    answered = (turn(), turn(endpoint_ms=700.0), turn(700.0, is_spoken_over=True))
    talk = talk_of([call(*answered, turn(None, errors=1))], alone_ms)
    assert (talk.turns, talk.unanswered, talk.errors, talk.late_endpoints) == (4, 1, 1, 1)
    assert talk.first_audio.max_ms == 600.0, "audio before the end of the clip answers nothing"
    assert (talk.user_share, talk.agent_share) == (0.3, 0.4)


def test_the_tables_have_a_row_for_each_step_and_kind() -> None:
    steps = [step(1), step(8, 2000)]
    none = {kind: Cost(0.0, 0.0) for kind in KINDS}
    talked = list(talk_table(steps))
    assert [row.split(" | ")[-1] for row in talked[2:]] == ["met |", "p95 3.3 times that of one |"]
    for rows, count in (
        (talked, 4),
        (list(cpu_table(steps)), 4),
        (list(cost_table((8, none), (100, none))), 3 + len(KINDS)),
        (list(memory_table(steps[0], steps[1], none)), 3),
    ):
        assert len(rows) == count
        assert len({row.count("|") for row in rows}) == 1, rows
