"""The table of ports in SECURITY.md, against the sockets of a running server."""

import re
import resource
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import grpc
import psutil
import pytest

from serve_app.local.haproxy import REQUEST_S
from serve_app.local.server import HAPROXY_PORTS
from tests.local.test_haproxy import HALF, own_address
from tests.serve.conftest import ROOT, Server

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]

FLOOD = 4200
REPLICAS_VARIABLE = "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT"
REPLICAS_PORT = 30_000
GUARDED = {
    "gcs_server": "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "raylet": "/ray.rpc.NodeManagerService/GetNodeStats",
    "SessionActor": "/ray.rpc.CoreWorkerService/PushTask",
    "ServeReplica": "/ray.serve.ASGIService/HandleRequest",
}
"""A method of each kind of gRPC server, for which Ray's token is asked."""


@dataclass(frozen=True)
class Row:
    port: str
    process: str

    def names(self, listener: "Listener") -> bool:
        is_its_port = self.port == listener.port or self.port.startswith("any")
        return is_its_port and self.process in listener.process


@dataclass(frozen=True)
class Listener:
    """`port`: by its default number, though the tests move it; or the name of a file."""

    host: str
    port: str
    process: str


def table() -> list[Row]:
    section = (ROOT / "SECURITY.md").read_text().partition("## Ports")[2].partition("\n## ")[0]
    rows = []
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith("| port"):
            first, process = (cell.strip() for cell in line.split("|")[1:3])
            kind = re.search(r"`(.+)`", process)
            assert kind, line
            files = re.findall(r"`([\w.]+)`", first) if first.startswith("`") else []
            ports = files or ["udp" if "UDP" in first else re.split(r"[ ,]", first)[0]]
            rows += [Row(port, kind[1]) for port in ports]
    return rows


def processes(server: Server) -> Iterator[tuple[psutil.Process, str]]:
    for process in psutil.Process(server.process.pid).children(recursive=True):
        yield process, " ".join(process.cmdline()) or process.name()


def listeners(server: Server) -> list[Listener]:
    moved = defaults(server)
    found = []
    for process, title in processes(server):
        for c in process.net_connections("inet"):
            if c.status == psutil.CONN_LISTEN:
                port = str(moved.get(c.laddr.port, c.laddr.port))
                found.append(Listener(c.laddr.ip.removeprefix("::ffff:"), port, title))
            elif c.type == socket.SOCK_DGRAM:
                found.append(Listener(c.laddr.ip, "udp", title))
    return found


def defaults(server: Server) -> dict[int, int]:
    """By port that a test has moved, the one that it would have."""
    env = psutil.Process(server.process.pid).environ()
    moved = {int(env[name]): default for name, default in HAPROXY_PORTS.items()}
    return {**moved, server.port: 4000, int(env[REPLICAS_VARIABLE]): REPLICAS_PORT}


def files(server: Server) -> list[Listener]:
    """The sockets in the file system that a process has bound. HAProxy renames its own."""
    found = []
    for process, title in processes(server):
        for c in process.net_connections("unix"):
            path = Path(re.sub(r"\.\d+\.tmp$", "", c.laddr or ""))
            if c.laddr and path.is_socket():
                found.append(Listener(str(path), path.name, title))
    return found


def taken_by_others(server: Server) -> set[str]:
    """The ports of other servers on this machine, which this one cannot have: some of Ray's are
    fixed, and the tests of another worker run beside these."""
    own = {process.pid for process, _ in processes(server)}
    everybody = psutil.net_connections("inet")
    return {str(c.laddr.port) for c in everybody if c.status == "LISTEN" and c.pid not in own}


def test_a_port_that_the_table_does_not_name_is_found() -> None:
    rows = table()
    assert any(row.names(Listener("127.0.0.1", "4000", "bin/haproxy -db")) for row in rows)
    assert not any(row.names(Listener("127.0.0.1", "4001", "bin/haproxy -db")) for row in rows)
    assert not any(row.names(Listener("127.0.0.1", "4000", "nginx")) for row in rows)


def test_the_table_names_every_port_and_none_is_public(server: Server) -> None:
    found, rows = listeners(server), table()
    assert len(found) > 20
    assert [each for each in found if not any(row.names(each) for row in rows)] == []
    assert {each.host for each in found if each.port != "udp"} <= {"127.0.0.1", "::1"}


def test_every_row_is_of_a_port_that_is_there(server: Server) -> None:
    found = listeners(server) + files(server)
    unused = [row for row in table() if not any(row.names(each) for each in found)]
    # A number of our own, and a worker that Ray has for a while only.
    others = taken_by_others(server)
    mine = [row for row in unused if row.port not in others]
    assert {row.port for row in mine} | {row.process for row in mine} <= {
        *("ECHO_METRICS_PORT", "haproxy", "any", "ray::IDLE")
    }


def test_sockets_in_the_file_system_are_named_and_of_their_user_alone(server: Server) -> None:
    found, rows = files(server), table()
    assert {each.port for each in found} >= {"admin.sock", "raylet", "plasma_store"}
    for each in found:
        assert any(row.port == each.port for row in rows), each
        assert is_private(Path(each.host)), each


def is_private(path: Path) -> bool:
    """Who may not write to a socket cannot connect to it."""
    others = stat.S_IWGRP | stat.S_IWOTH
    if not path.stat().st_mode & others:
        return True
    return any(not folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)


def test_a_stranger_reaches_no_port(server: Server) -> None:
    here = own_address()
    ports = [
        c.laddr.port
        for process, _ in processes(server)
        for c in process.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN
    ]
    assert len(ports) > 20
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((here, port), timeout=5)


@pytest.mark.parametrize("kind", GUARDED)
def test_ray_asks_for_its_token_even_here(server: Server, kind: str) -> None:
    ports = [
        c.laddr.port
        for process, title in processes(server)
        if kind in title
        for c in process.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN
    ]
    answers = {answer(port, GUARDED[kind]) for port in ports}
    assert grpc.StatusCode.UNAUTHENTICATED in answers
    assert answers <= {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,  # the other one of its ports
        grpc.StatusCode.UNAVAILABLE,  # speaks HTTP/1.1
    }


def answer(port: int, method: str) -> grpc.StatusCode:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.unary_unary(method)(b"", timeout=10)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_the_agents_of_ray_ask_for_it_as_well(server: Server) -> None:
    found = [each for each in listeners(server) if each.port == "52365"]
    if not found and "52365" in taken_by_others(server):
        pytest.skip("the agent of another Ray on this machine has the port")
    (agent,) = found
    with closing(HTTPConnection("127.0.0.1", int(agent.port), timeout=10)) as connection:
        connection.request("GET", "/api/ray/version")
        assert connection.getresponse().status == 401


def test_half_requests_keep_nobody_out(server: Server) -> None:
    """The whole flood comes from this machine, where no number is too many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as held:
        flood = []
        for _ in range(FLOOD):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=2 * REQUEST_S)
            client.sendall(HALF)
            flood.append(held.enter_context(client))
        assert b"ok" in server.healthz()
        assert flood[-1].recv(100).startswith(b"HTTP/1.1 408")
