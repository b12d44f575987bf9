"""How the number of replicas follows the load, in Serve's own contexts, made by hand."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from ray.serve._private.build_app import build_app
from ray.serve._private.common import DeploymentID, ReplicaID, TimeStampedValue
from ray.serve.config import AutoscalingContext

from deployments.scaling import BUSY, SESSIONS, WAIT_MS, ScaleBySessions, ScaleByWait
from serve_app.app import build
from serve_app.settings.schema import IngressSettings
from tests.manifests.objects import KEYS

POOL = DeploymentID(name="Pool", app_name="echo")
Reports = dict[str, Sequence[float]]
"""The last value of one metric, by replica."""


def context(reports: Reports, target: int, current: int | None = None) -> AutoscalingContext:
    """A deployment that should have `target` replicas, of which `current` run."""
    values = {name: _by_replica(numbers) for name, numbers in reports.items()}
    series = {name: _by_replica([_series(n) for n in row]) for name, row in reports.items()}
    return AutoscalingContext(
        deployment_id=POOL,
        deployment_name=POOL.name,
        app_name=POOL.app_name,
        current_num_replicas=target if current is None else current,
        target_num_replicas=target,
        running_replicas=list(next(iter(values.values()), {})),
        total_num_requests=100.0,
        total_queued_requests=0.0,
        aggregated_metrics=values,
        raw_metrics=series,
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=8,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=0.0,
        config=None,
    )


def _by_replica(row: Sequence[Any]) -> dict[ReplicaID, Any]:
    return {ReplicaID(str(i), POOL): value for i, value in enumerate(row)}


def _series(last: float) -> list[TimeStampedValue]:
    """Points of the look-back period; only the last one is current."""
    return [TimeStampedValue(0.0, 1000.0), TimeStampedValue(1.0, last)]


def by_wait(waits_ms: Sequence[float], busy: Sequence[float], current: int | None = None) -> int:
    """How many transcribers should run when each has such a wait and such a load."""
    reports = {WAIT_MS: waits_ms, BUSY: busy}
    ctx = context(reports, max(1, len(waits_ms)), current)
    return ScaleByWait(target_wait_ms=100)(ctx)[0]


def by_sessions(
    sessions: Sequence[float], target: int | None = None, current: int | None = None
) -> int:
    """How many ingress replicas should run when each has so many of 70 sessions."""
    ctx = context({SESSIONS: sessions}, len(sessions) if target is None else target, current)
    return ScaleBySessions(target_sessions=70)(ctx)[0]


@pytest.mark.parametrize(
    "waits_ms, busy, replicas",
    [
        ([150], [0.9], 2),
        ([150, 150], [0.9, 0.9], 3),
        ([150] * 5, [0.9] * 5, 8),
        ([90, 90], [0.6, 0.6], 2),
        ([0, 0], [0.3, 0.3], 2),
        ([0, 0], [0.2, 0.2], 1),
        ([0], [0.0], 1),
        ([150, 10], [0.9, 0.1], 2),
    ],
)
def test_by_wait_up_and_by_load_down(
    waits_ms: list[float], busy: list[float], replicas: int
) -> None:
    assert by_wait(waits_ms, busy) == replicas


def test_nothing_is_decided_before_anything_is_known() -> None:
    assert by_wait([], []) == 1
    assert by_sessions([], target=3) == 3


def test_a_decision_is_carried_out_before_the_next() -> None:
    assert by_wait([500, 500], [1.0, 1.0], current=1) == 2


# --- the ingress ---


@pytest.mark.parametrize(
    "sessions, replicas",
    [
        ([70], 1),
        ([71], 2),
        ([100, 41], 3),
        ([100, 40], 2),
        ([100, 100, 100], 5),
    ],
)
def test_the_ingress_grows_to_what_all_sessions_need(sessions: list[float], replicas: int) -> None:
    assert by_sessions(sessions) == replicas


@pytest.mark.parametrize(
    "sessions, replicas",
    [
        ([0], 1),
        ([52, 0], 1),
        ([53, 0], 2),
        ([0, 0, 0, 0], 3),
        ([40, 40, 24], 2),
        ([40, 40, 25], 3),
    ],
)
def test_the_ingress_shrinks_by_one_with_a_margin(sessions: list[float], replicas: int) -> None:
    assert by_sessions(sessions) == replicas


def test_it_grows_further_while_it_is_growing() -> None:
    """Callers should not have to wait for a node that is on its way."""
    assert by_sessions([100, 100], target=3, current=2) == 3
    assert by_sessions([111, 100], target=3, current=2) == 4


@pytest.mark.parametrize("target, current", [(2, 3), (3, 2)])
def test_it_does_not_shrink_while_something_changes(target: int, current: int) -> None:
    assert by_sessions([0] * current, target=target, current=current) == target


def test_it_does_not_shrink_before_all_replicas_have_reported() -> None:
    """Nor if a new controller counts a draining replica, which reports nothing, as running."""
    assert by_sessions([0], target=2) == 2


def test_what_it_decides_it_does_not_take_back() -> None:
    """The same sessions on the new number of replicas: no growth is undone, and no shrinking."""
    for load, replicas in itertools.product(range(600), range(1, 9)):
        decided = by_sessions([load / replicas] * replicas)
        then = by_sessions([load / decided] * decided)
        assert then == decided if decided > replicas else then <= decided, (load, replicas)


def test_the_target_of_a_replica_leaves_room() -> None:
    assert IngressSettings(max_sessions=100).sessions_wanted == 70
    assert IngressSettings(max_sessions=1).sessions_wanted == 1
    assert IngressSettings(max_sessions=100, target_sessions=50).sessions_wanted == 50
    with pytest.raises(ValueError, match="no replica would be added"):
        IngressSettings(max_sessions=100, target_sessions=101)


# --- what Serve is told ---


def deployments(monkeypatch: pytest.MonkeyPatch, **args: Any) -> dict[str, Any]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    app = build_app(build(args), name="echo")
    return {d.name: d for d in app.deployments}


def test_a_pool_is_fixed_unless_it_may_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    found = deployments(monkeypatch, ingress={"replicas": 2, "max_replicas": 2})
    for name, replicas in (("Ingress", 2), ("SpeechToText", 1)):
        assert found[name]._deployment_config.autoscaling_config is None
        assert found[name].num_replicas == replicas


def test_the_settings_reach_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    ingress = {"replicas": 2, "max_replicas": 5, "max_sessions": 40, "upscale_delay_s": 1}
    found = deployments(monkeypatch, ingress=ingress, stt={"max_replicas": 3})
    config = found["Ingress"]._deployment_config
    scaling = config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas) == (2, 5)
    assert (scaling.upscale_delay_s, scaling.downscale_delay_s) == (1, 900)
    assert scaling.policy.get_policy() is ScaleBySessions
    assert scaling.policy.policy_kwargs == {"target_sessions": 28}
    assert config.max_ongoing_requests > 40
    stt = found["SpeechToText"]._deployment_config.autoscaling_config
    assert stt.policy.get_policy() is ScaleByWait
    assert (stt.min_replicas, stt.max_replicas, stt.downscale_delay_s) == (1, 3, 300)
