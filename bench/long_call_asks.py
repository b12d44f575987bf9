"""Asks a running cluster from inside what cannot be seen from outside, as often as it is asked.

For each line on its standard input it prints one line of JSON: for each process, by its process id,
the asyncio tasks and Python objects of Serve's replicas, and what Ray counts. It runs as long as
the benchmark: each connection to a cluster leaves something behind there.
"""

import asyncio
import gc
import json
import os
import sys
from typing import Any

import ray
from ray._private.internal_api import node_stats

_WITHIN_S = 20.0
_PARTS = ("::echo#", "::sessions-")
"""Of the names of the actors that are asked."""

Counts = dict[str, int]


def main(address: str) -> None:
    ray.init(address=address, namespace="serve", log_to_driver=False, logging_level="error")
    (node,) = ray.nodes()
    at = (node["NodeManagerAddress"], node["NodeManagerPort"])
    for _ in sys.stdin:
        print(json.dumps({"inside": _inside(), **_in_ray(*at)}), flush=True)


def _inside() -> dict[int, Counts]:
    """By process id. An actor that does not answer in time is left out."""
    names = [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]
    actors = [ray.get_actor(name) for name in names if any(part in name for part in _PARTS)]
    asked = [actor.__ray_call__.remote(_counts) for actor in actors]
    answered, _ = ray.wait(asked, num_returns=len(asked), timeout=_WITHIN_S)
    return dict(ray.get(answered))


def _counts(actor: object) -> tuple[int, Counts]:
    """Runs in the actor, of all event loops. Takes some 20 ms of its time."""
    objects = gc.get_objects()
    tasks = sum(type(each) is asyncio.Task and not each.done() for each in objects)
    return os.getpid(), {"tasks": tasks, "python objects": len(objects)}


def _in_ray(address: str, port: int) -> dict[str, Any]:
    """`ray`: by process id, the objects that it owns, and those that it refers to. `store`: what is
    in the node's object store."""
    stats = node_stats(address, port, include_memory_info=False)
    return {
        "ray": {
            worker.pid: {
                "owned": worker.num_owned_objects,
                "references": worker.num_object_refs_in_scope,
            }
            for worker in stats.core_workers_stats
        },
        "store": {
            "objects": stats.store_stats.num_local_objects,
            "bytes": stats.store_stats.object_store_bytes_used,
        },
    }


if __name__ == "__main__":
    main(sys.argv[1])
