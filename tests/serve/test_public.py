"""A server for others than its machine."""

import json
import subprocess
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.local.test_haproxy import own_address
from tests.serve.conftest import READY, ROOT, config_with, echo_serve, free_port, running

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]


def test_without_keys_it_does_not_start(tmp_path: Path) -> None:
    config = config_with(tmp_path, free_port())
    command = echo_serve("run", "--host", "0.0.0.0", "--config", str(config))
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.startswith("echo-serve: at 0.0.0.0 anybody could use this server")
    assert refused.stderr.count("\n") == 1


# tests/serve/test_ports.py has a server's sockets, tests/local/test_haproxy.py HAProxy's file.
@pytest.mark.slow
def test_an_open_one_says_so_and_has_one_public_port(tmp_path: Path) -> None:
    port, here = free_port(), own_address()
    config = config_with(tmp_path, port)
    command = echo_serve("run", "--host", "0.0.0.0", "--open", "--config", str(config))
    with running(command, port, READY) as server:
        assert "WARNING: no keys are set" in server.output
        assert public(server.process.pid) == {port}
        stranger = healthz(here, port)
        assert stranger == {"status": "ok"}
        assert healthz(here, port, {"X-Forwarded-For": "127.0.0.1"}) == stranger
        assert set(healthz("127.0.0.1", port)) == {"status", "sessions", "waiting", "plan"}


def public(pid: int) -> set[int]:
    return {
        c.laddr.port
        for process in psutil.Process(pid).children(recursive=True)
        for c in process.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN
        and c.laddr.ip.removeprefix("::ffff:") not in ("127.0.0.1", "::1")
    }


def healthz(host: str, port: int, headers: dict[str, str] | None = None) -> dict[str, object]:
    request = urllib.request.Request(f"http://{host}:{port}/healthz", headers=headers or {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return dict(json.load(answer))
