"""The modules that the actors of a running cluster have loaded, by actor, as JSON. In a process of
its own, for the reason that ask_sessions.py gives."""

import json
import sys

import ray


def main(address: str, *parts: str) -> None:
    """Of the actors whose names contain one of these parts."""
    ray.init(address=address, namespace="serve", log_to_driver=False, logging_level="error")
    names = [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]
    actors = {name: ray.get_actor(name) for name in names if any(part in name for part in parts)}
    loaded = {name: actor.__ray_call__.remote(_modules) for name, actor in actors.items()}
    print(json.dumps({name: ray.get(modules) for name, modules in loaded.items()}))


def _modules(actor: object) -> list[str]:
    return sorted(sys.modules)


if __name__ == "__main__":
    main(*sys.argv[1:])
