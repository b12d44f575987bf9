"""How the pool of transcribers grows and shrinks: Serve's own context, made by hand."""

from typing import Any

import pytest
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve.config import AutoscalingContext

from deployments.scaling import BUSY, WAIT_MS, ScaleByWait

STT = DeploymentID(name="SpeechToText", app_name="echo")


def wanted(waits_ms: list[float], busy: list[float], current: int | None = None) -> int:
    """Replicas that are wanted where each has such a wait and such a load."""
    replicas = [ReplicaID(str(i), STT) for i in range(len(waits_ms))]
    values: dict[str, Any] = {
        WAIT_MS: dict(zip(replicas, waits_ms, strict=True)),
        BUSY: dict(zip(replicas, busy, strict=True)),
    }
    context = AutoscalingContext(
        deployment_id=STT,
        deployment_name=STT.name,
        app_name=STT.app_name,
        current_num_replicas=len(waits_ms) if current is None else current,
        target_num_replicas=max(1, len(waits_ms)),
        running_replicas=replicas,
        total_num_requests=100.0,
        total_queued_requests=0.0,
        aggregated_metrics=values,
        raw_metrics=None,
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=8,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=0.0,
        config=None,
    )
    replicas_wanted, _ = ScaleByWait(target_wait_ms=100)(context)
    return replicas_wanted


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
    assert wanted(waits_ms, busy) == replicas


def test_nothing_is_decided_before_anything_is_known() -> None:
    assert wanted([], []) == 1


def test_a_decision_is_carried_out_before_the_next() -> None:
    assert wanted([500, 500], [1.0, 1.0], current=1) == 2
