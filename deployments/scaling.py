"""How many replicas a deployment should have: transcribers by how long speech waits for one, the
ingress by its sessions. Serve applies its bounds and delays to the result.

Serve's own signal, the number of ongoing requests, says little about either. A transcriber with
eight short utterances in one batch is free again sooner than one with two long ones, and a
speculative transcript that is then cancelled counts as much as one that somebody waits for. For the
ingress, see ScaleBySessions.
"""

import math
from typing import Any

from ray.serve.config import AutoscalingContext

WAIT_MS = "wait_ms"
"""The longest wait in one replica since its last report."""
BUSY = "busy"
"""The share of its time that a replica was at work, 0 to 1."""
SESSIONS = "sessions"
"""The sessions that one ingress replica holds."""

_LOW_LOAD = 0.5
"""The busy share that the remaining transcribers may have after one is stopped."""
_LOW_SESSIONS = 0.75
"""The share of their target that the remaining ingress replicas may hold after one is stopped.
Between this and the target nothing changes."""


class ScaleByWait:
    """Grows by half when speech waits too long; shrinks by one when the rest can do the work."""

    def __init__(self, target_wait_ms: float = 100.0) -> None:
        self._target_wait_ms = target_wait_ms

    def __call__(self, ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        replicas = ctx.target_num_replicas
        metrics = ctx.aggregated_metrics or {}
        waits_ms = [float(value) for value in metrics.get(WAIT_MS, {}).values()]
        busy = [float(value) for value in metrics.get(BUSY, {}).values()]
        if not waits_ms or ctx.current_num_replicas != replicas:
            return replicas, {}  # nothing is known yet, or the last decision is under way
        if sum(waits_ms) / len(waits_ms) > self._target_wait_ms:
            return replicas + (replicas + 1) // 2, {}
        if replicas > 1 and sum(busy) / (replicas - 1) < _LOW_LOAD:
            return replicas - 1, {}
        return replicas, {}


class ScaleBySessions:
    """Grows to what all sessions need as soon as the mean is above the target, even while it is
    still growing. Shrinks by one at a time, when the rest would stay clearly below the target and
    no other change is under way: a replica that is stopped has to drain.

    Ongoing requests are not sessions (as read in Ray 2.60, `ReplicaMetricsManager` and
    `_direct_ingress_asgi`, with HAProxy). Every request to the application counts, including
    `/healthz` and a socket that is being refused, but not HAProxy's own probes or the requests of
    draining replicas. A session whose socket is lost does not count, though it takes a place until
    it ends. The count stops at max_ongoing_requests, because requests that wait for a slot are left
    out. And it is the mean of the look-back period, where the last count is what matters; Serve's
    policy for it also stops as many replicas as it can at once, without a margin.
    """

    def __init__(self, target_sessions: int) -> None:
        self._target_sessions = target_sessions

    def __call__(self, ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        replicas = ctx.target_num_replicas
        reports = (ctx.raw_metrics or {}).get(SESSIONS, {}).values()
        sessions = [float(report[-1].value) for report in reports if report]
        total = sum(sessions)  # at least this: a replica that has just started has not reported
        needed = math.ceil(total / self._target_sessions)
        if needed > replicas:
            return needed, {}
        is_steady = len(sessions) == ctx.current_num_replicas == replicas
        rest = self._target_sessions * (replicas - 1)
        if is_steady and total < _LOW_SESSIONS * rest:
            return replicas - 1, {}
        return replicas, {}
