"""Replicas of a node that no other can reach listen to that machine only."""

import ipaddress
import sys
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
AddPort = Callable[[Any, str], int]

_SERVE = "ray.serve._private.replica"


def reached_where_its_node_is(deployment: type[T]) -> type[T]:
    """Has replicas take the calls of others on 127.0.0.1, if that is where their node is.

    Serve has no setting for it, and opens a port of `[::]` when it has imported the deployment's
    class. Ray's token is asked for there as well; this is for who has no business there at all.
    """
    serve: Any = sys.modules.get(_SERVE)  # only replicas have it
    if serve and serve.ray.is_initialized() and _is_alone(serve.ray):
        serve.add_port_to_grpc_server = on_loopback(serve.add_port_to_grpc_server)
    return deployment


def on_loopback(add_port: AddPort) -> AddPort:
    def add(server: Any, address: str) -> int:
        return add_port(server, address.replace("[::]:", "127.0.0.1:"))

    return add


def _is_alone(ray: Any) -> bool:
    return ipaddress.ip_address(ray.util.get_node_ip_address()).is_loopback
