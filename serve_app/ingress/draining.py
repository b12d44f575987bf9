"""Whether Serve is stopping the replica that we run in."""

from typing import Any

from ray._private.worker import global_worker
from ray.serve._private import constants

CHECK_S = 0.5


def is_draining() -> bool:
    """Serve 2.60 has no callback for this; it calls `__del__` only once all sockets are closed. So
    this looks at Serve's replica object, which is in the same process. tests/serve/test_drain.py
    fails if another version of Serve looks different."""
    replica: Any = global_worker.actors.get(global_worker.actor_id)
    return bool(getattr(getattr(replica, "_replica_impl", None), "_shutting_down", False))


def time_left_s(graceful_shutdown_timeout_s: float) -> float:
    """From the start of draining until Serve closes the sockets, in seconds. With HAProxy that is
    the time that load balancers are given, and the code is 1012; without it, the deployment's own
    timeout, and there is no close frame."""
    if constants.RAY_SERVE_ENABLE_HA_PROXY:
        return float(constants.RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S)
    return graceful_shutdown_timeout_s
