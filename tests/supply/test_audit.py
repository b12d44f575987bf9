"""What `make audit` says and how it ends, with pip-audit itself and a service that runs here."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from supply.audit import main, was_unreached
from tests.serve.conftest import free_port

FLAW = {
    "id": "ECHO-1",
    "summary": "it breaks",
    "published": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "msgpack", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}],
        }
    ],
}


@contextmanager
def advisories(of: dict[str, Any]) -> Iterator[str]:
    """A service that speaks OSV's protocol; `of`: the flaw of a package by its name."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            flaw = of.get(asked["package"]["name"])
            body = json.dumps({"vulns": [flaw]} if flaw else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_nothing_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with advisories({}) as url:
        assert main(["--osv-url", url]) == 0
    assert "No known vulnerabilities found" in capsys.readouterr().out


def test_a_vulnerability_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with advisories({"msgpack": FLAW}) as url:
        assert main(["--osv-url", url, "--where-possible"]) == 1
    assert "ECHO-1" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["wheel", "ctranslate2"])
def test_what_builds_packages_and_what_a_benchmark_adds_are_audited(name: str) -> None:
    flaw = json.loads(json.dumps(FLAW).replace("msgpack", name))
    with advisories({name: flaw}) as url:
        assert main(["--osv-url", url, "--where-possible"]) == 1


def test_without_a_service_nothing_is_called_audited(capsys: pytest.CaptureFixture[str]) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/"
    assert main(["--osv-url", nobody]) == 2
    assert main(["--osv-url", nobody, "--where-possible"]) == 0
    assert capsys.readouterr().out.count("NOT AUDITED") == 2


def test_a_mirror_of_the_index_has_no_advisories() -> None:
    """What pip-audit 2.10 printed at one."""
    assert was_unreached(
        "ERROR:pip_audit._cli:accelerate: Dependency not found on PyPI and could not be audited"
    )
    assert not was_unreached("Found 1 known vulnerability in 1 package")
