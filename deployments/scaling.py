"""How many transcribers there should be, by how long speech waits for one.

Serve counts ongoing requests by default. Here that says little: a replica with eight short
utterances in one batch is idle sooner than one with two long ones, and guesses that are taken back
count as much as texts that somebody waits for.
"""

from typing import Any

from ray.serve.config import AutoscalingContext

WAIT_MS = "wait_ms"
"""Longest wait of the last seconds, of one replica."""
BUSY = "busy"
"""Share of its time in which a replica was at work."""

_LOW_LOAD = 0.5
"""Busy share that the replicas which would remain may have."""


class ScaleByWait:
    """Grows by half when speech waits too long, shrinks by one when the others can do the work.
    Serve applies bounds and delays to what comes out."""

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
