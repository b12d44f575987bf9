"""HAProxy, the real one, with the configuration that Serve writes, made fit for strangers."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions
from websockets.utils import accept_key

from serve_app.local import haproxy
from serve_app.local.edge import edge_folder, haproxy_binary, remove_leftovers
from serve_app.local.haproxy import Edge, UnknownConfiguration, hardened
from serve_app.local.ports import free_port

WITHIN_S = 10.0
HALF = b"GET /healthz HTT"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
VERSION = (f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")
EDGE = Edge(haproxy_binary({}), "127.0.0.1", "127.0.0.1", None, 512)


class Serve:
    """Serve's part: it writes the file and names the ports."""

    def __init__(self, folder: Path, *replicas: int) -> None:
        self.replicas = replicas
        self.port, self.stats, self.metrics = free_port(), free_port(), free_port()
        self.socket = folder / "admin.sock"
        config = HAProxyConfig(
            http_options=HTTPOptions(host="127.0.0.1", port=self.port),
            socket_path=str(self.socket),
            server_state_base=str(folder),
            server_state_file=str(folder / "state"),
            metrics_socket_path=str(folder / "metrics.sock"),
            stats_port=self.stats,
            metrics_port=self.metrics,
        )
        self.file = folder / "haproxy.cfg"
        servers = [ServerConfig(f"replica{port}", "127.0.0.1", port) for port in replicas]
        backends = {"app": BackendConfig("app", "/", servers=servers)} if servers else {}
        api = HAProxyApi(config, backends, config_file_path=str(self.file))
        api._generate_config_file_internal()

    @contextmanager
    def running(self, *command: str) -> Iterator[psutil.Process]:
        """Yields when it listens."""
        with subprocess.Popen([*command, "-db", "-f", str(self.file)]) as process:
            try:
                deadline_s = time.monotonic() + WITHIN_S
                while not is_open("127.0.0.1", self.port):
                    assert process.poll() is None and time.monotonic() < deadline_s
                yield psutil.Process(process.pid)
            finally:
                process.kill()

    @contextmanager
    def hardened(self, edge: Edge) -> Iterator[psutil.Process]:
        self.file.write_text(hardened(self.file.read_text(), edge))
        with self.running(edge.binary) as process:
            yield process


class Replica(BaseHTTPRequestHandler):
    """Says whom it has been told of, waits for bodies, and sends back what comes by a WebSocket."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Upgrade"):
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "websocket")
            self.send_header("Sec-WebSocket-Accept", accept_key(KEY))
            self.end_headers()
            self.wfile.write(self.rfile.read1(100))
        else:
            self._answer(str(self.headers.get_all("X-Forwarded-For")).encode())

    def do_POST(self) -> None:
        with suppress(ConnectionError):
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *told: object) -> None:
        pass


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    return Serve(tmp_path)


@pytest.fixture
def with_replica(tmp_path: Path) -> Iterator[Serve]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Replica) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Serve(tmp_path, server.server_port)
        server.shutdown()
        thread.join()


def is_open(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=WITHIN_S):
            return True
    except OSError:
        return False


def listeners(process: psutil.Process) -> set[tuple[str, int]]:
    found = process.net_connections("tcp")
    return {(c.laddr.ip, c.laddr.port) for c in found if c.status == psutil.CONN_LISTEN}


def own_address() -> str:
    """Of this machine in its network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine is in no network")
        return str(probe.getsockname()[0])


def test_all_ports_are_of_this_machine(serve: Serve) -> None:
    with serve.hardened(EDGE) as process:
        assert listeners(process) == {
            ("127.0.0.1", serve.port),
            ("127.0.0.1", serve.stats),
            ("127.0.0.1", serve.metrics),
        }


def test_only_the_port_for_calls_is_public_if_it_is_to_be(serve: Serve) -> None:
    with serve.hardened(replace(EDGE, host="0.0.0.0")) as process:
        public = {port for host, port in listeners(process) if host != "127.0.0.1"}
        assert public == {serve.port}


def test_ipv6_is_a_port_of_its_own(serve: Serve) -> None:
    """As one, all callers of IPv4 would be one address, with its share of the connections."""
    try:
        socket.create_server(("::", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serve.hardened(replace(EDGE, host="::")) as process:
        hosts = {host for host, port in listeners(process) if port == serve.port}
        assert hosts == {"0.0.0.0", "::"}


def test_the_numbers_are_where_prometheus_is_to_find_them(serve: Serve) -> None:
    outside, inside = free_port(), free_port()
    edge = replace(EDGE, metrics_host="0.0.0.0", ray_metrics=(outside, inside))
    with serve.hardened(edge) as process:
        public = {port for host, port in listeners(process) if host != "127.0.0.1"}
        assert public == {serve.metrics, outside}


def test_of_rays_port_there_are_only_the_numbers(with_replica: Serve) -> None:
    outside = free_port()
    edge = replace(EDGE, ray_metrics=(outside, with_replica.replicas[0]))
    with with_replica.hardened(edge):
        for path, status in (("/metrics", 200), ("/", 403), ("/metrics/../x", 403)):
            with socket.create_connection(("127.0.0.1", outside), timeout=WITHIN_S) as stranger:
                stranger.sendall(REQUEST.replace(b"/", path.encode(), 1))
                assert answer(stranger)[0] == status


def test_half_a_request_is_ended(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "REQUEST_S", 1)
    with (
        serve.hardened(EDGE),
        socket.create_connection(("127.0.0.1", serve.port), timeout=WITHIN_S) as stranger,
    ):
        stranger.sendall(HALF)
        assert stranger.recv(100).startswith(b"HTTP/1.1 408")


def test_half_a_body_is_ended(with_replica: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "STALLED_S", 1)
    with with_replica.hardened(EDGE), client_of(with_replica) as stranger:
        stranger.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        assert answer(stranger)[0] == 400
        assert stranger.recv(100) == b""


def test_a_connection_without_a_next_request_is_ended(
    with_replica: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(haproxy, "REQUEST_S", 1)
    with with_replica.hardened(EDGE), client_of(with_replica) as stranger:
        stranger.sendall(REQUEST)
        assert answer(stranger)[0] == 200
        assert stranger.recv(100) == b""


def test_a_websocket_may_be_silent_for_longer(
    with_replica: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(haproxy, "STALLED_S", 1)
    monkeypatch.setattr(haproxy, "REQUEST_S", 1)
    with with_replica.hardened(EDGE), client_of(with_replica) as caller:
        caller.sendall(with_lines("Connection: Upgrade", "Upgrade: websocket", *VERSION))
        assert answer(caller)[0] == 101
        time.sleep(2.5)
        caller.sendall(b"are you there?")
        assert caller.recv(100) == b"are you there?"


def test_whom_haproxy_has_seen_comes_after_what_a_client_has_made_up(with_replica: Serve) -> None:
    with with_replica.hardened(EDGE), client_of(with_replica) as stranger:
        stranger.sendall(with_lines("X-Forwarded-For: 1.1.1.1"))
        assert answer(stranger) == (200, b"['1.1.1.1', '127.0.0.1']")


def with_lines(*lines: str) -> bytes:
    """A request with these lines in its head."""
    return REQUEST.replace(b"\r\n\r\n", "\r\n".join(("", *lines, "", "")).encode())


def answer(client: socket.socket) -> tuple[int, bytes]:
    with HTTPResponse(client) as response:
        response.begin()
        return response.status, response.read()


def client_of(serve: Serve) -> socket.socket:
    return socket.create_connection(("127.0.0.1", serve.port), timeout=WITHIN_S)


def test_one_address_has_its_share_of_the_connections(serve: Serve) -> None:
    here = own_address()
    edge = replace(EDGE, host="0.0.0.0", connections_per_address=3)
    with serve.hardened(edge), ExitStack() as held:
        for _ in range(3):
            held.enter_context(answered(here, serve.port))
        with pytest.raises(ConnectionError):
            answered(here, serve.port)
        for _ in range(5):  # a proxy on this machine stands for many
            held.enter_context(answered("127.0.0.1", serve.port))


def answered(host: str, port: int) -> socket.socket:
    """A connection that has had an answer. Raises ConnectionError if it is dropped."""
    client = socket.create_connection((host, port), timeout=WITHIN_S)
    try:
        client.sendall(REQUEST)
        if not client.recv(100):
            raise ConnectionResetError
    except BaseException:
        client.close()
        raise
    return client


def test_the_program_becomes_haproxy_under_the_name_that_serve_knows(serve: Serve) -> None:
    with edge_folder(EDGE) as variables:
        program = variables["RAY_SERVE_HAPROXY_BINARY_PATH"]
        with serve.running(program) as process:
            assert process.name() == "haproxy"
            assert str(serve.file) in process.cmdline()  # Serve looks for it there
            deadline = time.monotonic() + WITHIN_S
            while not serve.socket.exists():  # HAProxy gives it its name once it listens
                assert time.monotonic() < deadline, "no socket"
                time.sleep(0.01)
            assert serve.socket.stat().st_mode & 0o777 == 0o600


def test_the_folder_is_of_its_user_alone_and_goes_with_the_server() -> None:
    with edge_folder(EDGE) as variables:
        folder = Path(variables["RAY_SERVE_HAPROXY_BINARY_PATH"]).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        sockets = (v for name, v in variables.items() if name.endswith(("_PATH", "_LOC")))
        assert {Path(path).parent for path in sockets} == {folder}
    assert not folder.exists()


_KILLED = """
import os, signal
from tests.local.test_haproxy import EDGE, edge_folder
with edge_folder(EDGE) as variables:
    print(os.path.dirname(variables["RAY_SERVE_HAPROXY_BINARY_PATH"]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_folder_of_a_server_that_was_killed_goes_with_the_next_start() -> None:
    """Seven were found in /tmp."""
    killed = subprocess.run([sys.executable, "-c", _KILLED], stdout=subprocess.PIPE, text=True)
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    with edge_folder(EDGE) as variables:
        remove_leftovers()
        assert not left.exists()
        assert Path(variables["RAY_SERVE_HAPROXY_BINARY_PATH"]).exists(), "it is in use"


def test_the_path_of_a_socket_is_short_enough() -> None:
    """Serve adds the id of the node, and HAProxy an ending for a new one."""
    with edge_folder(EDGE) as variables:
        folder, file = os.path.split(variables["RAY_SERVE_HAPROXY_SOCKET_PATH"])
        assert len(f"{folder}/{'0' * 56}/{file}.1234567.tmp") <= 107


def test_a_file_that_is_not_known_is_refused(serve: Serve) -> None:
    text = serve.file.read_text().replace("listen stats\n", "listen numbers\n")
    with pytest.raises(UnknownConfiguration, match="0 times"):
        hardened(text, EDGE)


@pytest.mark.parametrize(
    "line", ["frontend grpc_frontend\n    bind *:9000 proto h2", "global\n    stats socket *:9999"]
)
def test_a_port_that_is_not_known_is_refused(serve: Serve, line: str) -> None:
    """Each rule fits, and nothing would close the new port."""
    with pytest.raises(UnknownConfiguration, match=r":9[0-9]{3}"):
        hardened(f"{serve.file.read_text()}{line}\n", EDGE)
