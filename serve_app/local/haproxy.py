"""What runs in HAProxy's place: it makes the configuration that Serve has written fit for
strangers, and becomes HAProxy.

Serve writes the file anew and starts HAProxy for each change of its replicas. It has no setting for
the addresses of HAProxy's own ports, for the rights of its socket, or for how long a client may
take over a request; but it has one for the program to start. That is this file, which runs without
any other module of ours (`serve_app.local.edge` sees to it).
"""

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

REQUEST_S = 10
"""For the head of a request, from its connection or the end of the one before."""
STALLED_S = 30
"""For a client that stops sending a body, or reading an answer. WebSockets have Serve's limit."""
_ADDRESSES = 100_000
"""Of which connections are counted: 12 MB. The oldest one makes room."""


class UnknownConfiguration(Exception):
    """Serve writes another file than the one that is known here."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What HAProxy is to be, apart from what Serve has it do."""

    binary: str
    host: str
    """Where calls are taken."""
    metrics_host: str
    """Where Prometheus finds HAProxy's metrics, and Ray's if there are ports for them."""
    ray_metrics: tuple[int, int] | None
    """Where Prometheus finds Ray's metrics, and where they are on this machine."""
    connections_per_address: int
    """The most at one time, but not of this machine, where a proxy for many may run. 0: any."""


_PORT = r"\2"
"""Serve's, as a rule has found it."""


@dataclass(frozen=True, slots=True)
class _Rule:
    lines: str
    """A regular expression, which must fit once."""
    instead: str


_LISTENS = re.compile(r"^ *(?:bind|dgram-bind|stats socket) .*$", re.MULTILINE)
"""Where HAProxy listens. Each of these lines of Serve's has a rule."""
_LISTENERS = 4


def hardened(text: str, edge: Edge) -> str:
    """Serve's configuration with what Serve has no setting for. Raises UnknownConfiguration rather
    than let a port or a limit be as it was."""
    if len(listeners := _LISTENS.findall(text)) != _LISTENERS:
        raise UnknownConfiguration(f"HAProxy's file listens in other places: {listeners}")
    for rule in _rules(edge):
        text, found = re.subn(rule.lines, rule.instead, text, flags=re.MULTILINE)
        if found != 1:
            raise UnknownConfiguration(f"{found} times in HAProxy's file: {rule.lines}")
    return text + _added(edge)


def _rules(edge: Edge) -> list[_Rule]:
    return [
        _Rule(r"^( *stats socket \S+) mode 666 ", r"\1 mode 600 "),
        _Rule(r"^(listen stats\n *bind) \*:", r"\1 127.0.0.1:"),
        _Rule(r"^(frontend prometheus)\n *bind :(\d+)$", rf"\1\n{_bind(edge.metrics_host, _PORT)}"),
        _Rule(
            r"^(frontend http_frontend)\n *bind \S+:(\d+)$",
            rf"\1\n{_bind(edge.host, _PORT)}\n{_per_client(edge)}",
        ),
        _Rule(r"^( *)timeout client (\S+)$", _timeouts()),
        _Rule(r"^( *)timeout http-keep-alive \S+$", rf"\1timeout http-keep-alive {REQUEST_S}s"),
    ]


def _timeouts() -> str:
    return (
        rf"\1timeout tunnel \2\n\1timeout client {STALLED_S}s\n\1timeout http-request {REQUEST_S}s"
    )


def _per_client(edge: Edge) -> str:
    lines = ["option forwardfor"]  # after whatever the client itself has sent
    if most := edge.connections_per_address:
        lines += [
            # A host is given 2**64 addresses of IPv6.
            "tcp-request connection track-sc0 src,ipmask(32,64) table addresses",
            "tcp-request connection reject if !{ src 127.0.0.0/8 ::1 }"
            f" {{ sc0_conn_cur gt {most} }}",
        ]
    return "\n".join(f"    {line}" for line in lines)


def _added(edge: Edge) -> str:
    text = ""
    if edge.connections_per_address:
        text += (
            "backend addresses\n"
            f"    stick-table type ipv6 size {_ADDRESSES} expire 1m store conn_cur\n"
        )
    if edge.ray_metrics:
        outside, inside = edge.ray_metrics
        text += (
            f"listen ray_metrics\n{_bind(edge.metrics_host, str(outside))}\n"
            f"    no log\n    timeout server {STALLED_S}s\n"
            "    http-request deny unless { path /metrics }\n"
            f"    server ray 127.0.0.1:{inside}\n"
        )
    return text


def _bind(host: str, port: str) -> str:
    if host == "::":  # apart, or all of IPv4 would be one client of IPv6
        return f"    bind 0.0.0.0:{port}\n    bind [::]:{port} v6only"
    return f"    bind [{host}]:{port}" if ":" in host else f"    bind {host}:{port}"


def main(arguments: list[str]) -> None:
    """`arguments`: the path of an Edge in JSON, then those of HAProxy. Does not return."""
    edge_file, *haproxy_arguments = arguments
    edge = Edge(**json.loads(Path(edge_file).read_text()))
    path = Path(haproxy_arguments[haproxy_arguments.index("-f") + 1])
    # In place: Serve knows its HAProxy by the path among its arguments.
    path.write_text(hardened(path.read_text(), edge))
    os.execv(edge.binary, [edge.binary, *haproxy_arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
