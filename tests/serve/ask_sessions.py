"""What the session actors of a running cluster keep, as JSON. In a process of its own, because Ray
reads only once how to sign in (RAY_AUTH_MODE), and the token is made when the cluster starts."""

import json
import sys
from dataclasses import asdict

import ray


def main(address: str) -> None:
    ray.init(address=address, namespace="serve", log_to_driver=False, logging_level="error")
    names = [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]
    actors = [ray.get_actor(name, namespace="serve") for name in names if "::sessions-" in name]
    entries = [
        entry for kept in ray.get([a.entries.remote() for a in actors]) for entry in kept.items()
    ]
    print(json.dumps({session: asdict(entry.record) for session, entry in entries}))


if __name__ == "__main__":
    main(sys.argv[1])
