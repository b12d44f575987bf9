"""Whether Serve is stopping the replica that we run in."""

from typing import Any

from ray._private.worker import global_worker
from ray.serve._private import constants

CHECK_S = 0.5


def is_draining() -> bool:
    """Serve 2.60 has no callback for this: `__del__` is called when all sockets are closed. So this
    looks at the replica itself, in whose process we are; tests/serve/test_drain.py says so when
    another version of Serve looks different."""
    replica: Any = global_worker.actors.get(global_worker.actor_id)
    return bool(getattr(getattr(replica, "_replica_impl", None), "_shutting_down", False))


def time_left_s(graceful_shutdown_timeout_s: float) -> float:
    """From the begin of draining until Serve closes the sockets: with HAProxy (1012) after the time
    that load balancers are given, without it (no close frame) after the deployment's timeout."""
    if constants.RAY_SERVE_ENABLE_HA_PROXY:
        return float(constants.RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S)
    return graceful_shutdown_timeout_s
