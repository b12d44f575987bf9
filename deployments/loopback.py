"""Replicas of a node that no other can reach listen to that machine only."""

import ipaddress
import sys
from collections.abc import Callable
from typing import Any

import ray

_SERVE = "ray.serve._private.replica"


def listen_on_loopback() -> None:
    """Has a replica take the calls of others on 127.0.0.1, if that is where its node is.

    Serve has no setting for it, and opens a port of `[::]` when it has imported the deployment's
    class. Ray's token is asked for there as well; this is for who has no business there at all.
    """
    serve = sys.modules.get(_SERVE)  # only replicas have it
    if serve and ray.is_initialized() and _is_alone():
        serve.add_port_to_grpc_server = _here(serve.add_port_to_grpc_server)  # type: ignore[attr-defined]


def _is_alone() -> bool:
    return ipaddress.ip_address(ray.util.get_node_ip_address()).is_loopback


def _here(add_port: Callable[[Any, str], int]) -> Callable[[Any, str], int]:
    def add(server: Any, address: str) -> int:
        return add_port(server, address.replace("[::]:", "127.0.0.1:"))

    return add
