"""Deploys the application again, with one setting changed, to a cluster that runs it. Returns when
no old replica is left. Runs in a process of its own, as `serve deploy` does."""

import sys
import time
from pathlib import Path

import ray
import yaml
from ray import serve
from ray.serve.context import _get_global_client

from serve_app.app import build

_WITHIN_S = 200.0


def main(address: str, config: Path) -> None:
    ray.init(address=address, log_to_driver=False, logging_level="error")
    (application,) = yaml.safe_load(config.read_text())["applications"]
    args = application["args"]
    args["ingress"]["max_sessions"] += 1
    old = _replicas()
    target = serve.RunTarget(build(args), name="echo")
    serve.run_many([target], wait_for_applications_running=False)
    deadline_s = time.monotonic() + _WITHIN_S
    while old & _replicas() or serve.status().applications["echo"].status != "RUNNING":
        if time.monotonic() > deadline_s:
            sys.exit(f"not updated within {_WITHIN_S:.0f} s")
        time.sleep(0.5)


def _replicas() -> set[str]:
    """Replicas of all deployments, including those that are stopping."""
    details = _get_global_client().get_serve_details()["applications"]["echo"]
    return {r["replica_id"] for d in details["deployments"].values() for r in d["replicas"]}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
