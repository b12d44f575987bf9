"""How many replicas a pool should have: transcribers by how long speech waits for one, the ingress
by its sessions. Serve applies bounds and delays to what comes out.

Serve's own signal, the ongoing requests, says little about either. Of transcribers: one with eight
short utterances in one batch is idle sooner than one with two long ones, and guesses that are taken
back count as much as texts that somebody waits for. Of the ingress: see ScaleBySessions.
"""

import math
from typing import Any

from ray.serve.config import AutoscalingContext

WAIT_MS = "wait_ms"
"""Longest wait of the last seconds, of one replica."""
BUSY = "busy"
"""Share of its time in which a replica was at work."""
SESSIONS = "sessions"
"""Places that are taken in one ingress replica."""

_LOW_LOAD = 0.5
"""Busy share that the transcribers which would remain may have."""
_LOW_SESSIONS = 0.75
"""Share of their target that the ingress replicas which would remain may hold: between this and the
target nothing changes."""


class ScaleByWait:
    """Grows by half when speech waits too long, shrinks by one when the others can do the work."""

    def __init__(self, target_wait_ms: float = 100.0) -> None:
        self._target_wait_ms = target_wait_ms

    def __call__(self, ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        replicas = ctx.target_num_replicas
        metrics = ctx.aggregated_metrics or {}
        waits_ms = [float(value) for value in metrics.get(WAIT_MS, {}).values()]
        busy = [float(value) for value in metrics.get(BUSY, {}).values()]
        if not waits_ms or ctx.current_num_replicas != replicas:
            return replicas, {}  # nothing is known, or the last decision is being carried out
        if sum(waits_ms) / len(waits_ms) > self._target_wait_ms:
            return replicas + (replicas + 1) // 2, {}
        if replicas > 1 and sum(busy) / (replicas - 1) < _LOW_LOAD:
            return replicas - 1, {}
        return replicas, {}


class ScaleBySessions:
    """Grows to what all sessions need as soon as the mean is above the target, also while it is
    still growing. Shrinks by one, when the rest would stay clearly below the target and nothing
    else is going on: a replica that goes has to drain.

    Ongoing requests are not the sessions (read in Ray 2.60, `ReplicaMetricsManager` and
    `_direct_ingress_asgi`, with HAProxy): every request of the application is one, `/healthz` and
    a socket that is being refused included, though HAProxy's own probes and draining replicas are
    not; a session whose socket is lost is none, though it has its place until it has ended; and the
    count stops at max_ongoing_requests, as what waits for a slot is left out. It is also a mean of
    the look-back period, where the last count is what matters; and Serve's policy for it takes away
    as many replicas as it can at once, without a margin.
    """

    def __init__(self, target_sessions: int) -> None:
        self._target_sessions = target_sessions

    def __call__(self, ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        replicas = ctx.target_num_replicas
        reports = (ctx.raw_metrics or {}).get(SESSIONS, {}).values()
        sessions = [float(report[-1].value) for report in reports if report]
        total = sum(sessions)  # at least: a replica that has just started has not reported
        needed = math.ceil(total / self._target_sessions)
        if needed > replicas:
            return needed, {}
        is_settled = len(sessions) == ctx.current_num_replicas == replicas
        rest = self._target_sessions * (replicas - 1)
        if is_settled and total < _LOW_SESSIONS * rest:
            return replicas - 1, {}
        return replicas, {}
