"""A server on this machine, from the start to a clean end.

Two processes: this one, which is sent signals, and `serve_app.local.cluster`, in which Ray is. Ray
takes SIGTERM for itself, and aborts; and what a terminal or `kill` sends to a group of processes
would end Ray's own before any session is told.
"""

import os
import resource
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from serve_app.access.configured import check_access, has_credentials
from serve_app.agent.tools.factory import check_tools
from serve_app.errors import ConfigError
from serve_app.local import edge, exposure, ports
from serve_app.local.exposure import Exposure
from serve_app.local.leftovers import end_leftovers
from serve_app.local.proxies import go_around_proxies
from serve_app.local.server_process import ServerProcess
from serve_app.local.stop_signals import StopSignals
from serve_app.records.check import check_records
from serve_app.settings.environment import load
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import AppConfig

Report = Callable[[str], None]

HAPROXY_PORTS = {
    "RAY_SERVE_HAPROXY_METRICS_PORT": 9101,
    "RAY_SERVE_HAPROXY_STATS_PORT": 8404,
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": 8500,
}
"""Further ports that Serve takes in HAProxy mode, by the variable that moves each of them."""
_CONNECTIONS = 8192
_OTHER_FILES = 1000


def _connections() -> int:
    """The most at one time. HAProxy needs five open files for two of them (`option splice`), and
    does not start if it cannot have those."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 2**20 if most == resource.RLIM_INFINITY else most
    return max(1, min(_CONNECTIONS, (files - _OTHER_FILES) * 2 // 5))


RAY_ENVIRONMENT = {
    # A frame through HAProxy takes 1 ms where the Python proxy takes 8.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # Also while one caller holds open thousands of connections (Ray's default: 4096).
    "RAY_SERVE_HAPROXY_MAXCONN": str(_connections()),
    # A node of one machine is at 127.0.0.1, and so are all ports of Ray. What the variable is named
    # after is where Ray has this by default.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Whoever reaches a port of Ray needs its token.
    "RAY_AUTH_MODE": "token",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # A dead HAProxy is restarted after three of these; each is a query on its own socket.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
    # The time that a load balancer needs to notice that a replica stops: there is none here.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    # Serve obeys headers that any client can send.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.ingress.serve_headers.middlewares",
    # Ray's default is 15: other work on the machine would leave a worker 3 % of its core.
    "RAY_worker_niceness": "0",
    # Else GCS keeps a record of the last 100,000 calls: 250 MiB (docs/long-calls.md).
    "RAY_task_events_report_interval_ms": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Serve's Python proxies would believe the X-Forwarded-For of whatever is on this machine.
    "FORWARDED_ALLOW_IPS": "",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Defaults for variables that the user may set. Ray reads them when it is imported."""
_AFTER_DRAIN_S = 9.0
"""For replicas to notice that they drain, and to end when they have drained."""
_TO_STOP_S = 25.0
"""For the end of Ray and all processes after that."""


@dataclass(frozen=True, slots=True)
class ServerFile:
    """The parts of a Serve configuration file that are needed here."""

    http: Mapping[str, Any]
    args: Mapping[str, Any]

    @property
    def port(self) -> int:
        return int(self.http.get("port", 8000))

    @property
    def host(self) -> str:
        """Where Serve would listen by itself."""
        return str(self.http.get("host") or "")


def read_file(path: Path) -> ServerFile:
    """Raises ConfigError, with one line, if the file is not what Serve takes."""
    try:
        content = yaml.safe_load(path.read_text())
        (application,) = content["applications"]
        return ServerFile(content.get("http_options") or {}, application.get("args") or {})
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is not a Serve file with one application: {error}") from None


def metrics_port(env: Mapping[str, str]) -> int | None:
    """The port where Prometheus finds Ray's metrics; None lets Ray choose one.

    Raises ConfigError if ECHO_METRICS_PORT is not a port."""
    value = env.get("ECHO_METRICS_PORT", "").strip()
    if not value:
        return None
    if not value.isdigit() or not 0 < int(value) < 65536:
        raise ConfigError(f"ECHO_METRICS_PORT: {value!r} is not a port; unset it or use 1 to 65535")
    return int(value)


def drain_s(config: AppConfig, env: Mapping[str, str]) -> float:
    """How long sessions are given to end, in seconds. With HAProxy, replicas drain for the time
    that load balancers are given, without it for a timeout of their own."""
    if env.get("RAY_SERVE_ENABLE_HA_PROXY") != "1":
        return config.ingress.drain_timeout_s + _AFTER_DRAIN_S
    return float(env["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"]) + _AFTER_DRAIN_S


def has_haproxy(env: Mapping[str, str]) -> bool:
    return env.get("RAY_SERVE_ENABLE_HA_PROXY", RAY_ENVIRONMENT["RAY_SERVE_ENABLE_HA_PROXY"]) == "1"


def serve(
    path: Path,
    report: Report,
    port: int | None = None,
    host: str | None = None,
    is_open: bool = False,
) -> int:
    """Serves the file until SIGTERM, SIGINT or SIGHUP. Returns the exit status: 0 if it was asked
    to stop, however often, and that of the server's process if it ended by itself.

    Raises ConfigError, before anything is started, if a setting is wrong, a port is in use, or
    strangers could come in whom nobody has asked for.
    """
    signals = StopSignals()
    wanted = exposure.exposure(host, is_open, os.environ)
    for line in exposure.unheard(read_file(path).host, wanted):
        report(line)
    _, server = _prepared(path, report, wanted, port)
    with server:
        if server.wait(signals):
            report("  Ctrl-C stops the server")
            server.wait(signals)
        return server.stop()


@contextmanager
def running(path: Path, report: Report) -> Iterator[AppConfig]:
    """Serves the file to this machine; afterwards, no process is left behind.

    Raises ConfigError, before anything is started, if a setting is wrong or a port is in use, and
    SystemExit if the server ends before it is ready; it has said why.
    """
    config, server = _prepared(path, report, Exposure())
    with server:
        if not server.wait():
            raise SystemExit(server.stop())
        yield config


def _prepared(
    path: Path, report: Report, exposed: Exposure, port: int | None = None
) -> tuple[AppConfig, ServerProcess]:
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    go_around_proxies(os.environ)
    file = read_file(path)
    config = resolve(load(file.args, os.environ), os.environ, gpus=0)
    check_tools(config.agent, os.environ)
    check_access(config, os.environ, hides_addresses=False)
    check_records(config, os.environ)
    # All replicas inherit it, and it ends with the server.
    os.environ.setdefault(config.access.client_key_secret_variable, secrets.token_hex(32))
    warnings = exposure.warnings(exposed, has_credentials(config, os.environ))
    if not (has_haproxy(os.environ) or exposure.is_loopback(exposed.metrics_host)):
        raise ConfigError(f"{exposure.METRICS_HOST_VARIABLE} needs RAY_SERVE_ENABLE_HA_PROXY=1")
    wanted = needed_ports(port or file.port, os.environ)
    end_leftovers(report)
    edge.remove_leftovers()
    ports.check_free(wanted)
    patience_s = drain_s(config, os.environ) + _TO_STOP_S
    for line in warnings:
        report(line)
    return config, ServerProcess(path, port or file.port, exposed, report, patience_s)


def needed_ports(port: int, env: Mapping[str, str]) -> dict[str, int]:
    """The ports that are needed, by the setting that moves each."""
    wanted = {"http_options.port in the configuration file": port}
    if metrics := metrics_port(env):
        wanted["ECHO_METRICS_PORT"] = metrics
    if has_haproxy(env):
        wanted |= {name: int(env.get(name, number)) for name, number in HAPROXY_PORTS.items()}
    return wanted
