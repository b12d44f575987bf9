"""A Redis for tests."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.serve.conftest import free_port


@contextmanager
def redis_server() -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Its process and its address."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    port = free_port()
    # A title would overwrite its environment, by which tests/guard.py finds what is left.
    plain = ["--save", "", "--bind", "127.0.0.1", "--set-proc-title", "no"]
    command = ["redis-server", "--port", str(port), *plain]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        with process.stdout as lines:
            assert any(b"Ready to accept connections" in line for line in lines)
            yield process, f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)
