"""Whether the ports that a server needs are free, and who has them if not."""

import shlex
import socket
from collections.abc import Mapping

import psutil

from serve_app.errors import ConfigError
from serve_app.local.leftovers import starter

_COMMAND_LETTERS = 80


def check_free(wanted: Mapping[str, int]) -> None:
    """`wanted`: ports by the setting that moves them. Raises ConfigError, with one line, for the
    first that is in use."""
    for setting, port in wanted.items():
        if not _is_free(port):
            raise ConfigError(
                f"port {port} is in use{_by_whom(port)}: stop what uses it, or move it with "
                f"{setting}"
            )


def free_port() -> int:
    """A port of this machine that nobody else listens to."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def _by_whom(port: int) -> str:
    """Empty if it cannot be known, as with processes of other users."""
    try:
        found = [c for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port]
        found.sort(key=lambda c: c.status != psutil.CONN_LISTEN)
        pid = next(c.pid for c in found if c.pid)
        return f" by {_describe(psutil.Process(pid))}"
    except (psutil.Error, OSError, StopIteration):
        return ""


def _describe(process: psutil.Process) -> str:
    """One line. A server's own haproxy says little, so it is named after who started the server."""
    if server := starter(process):
        return f"another Echo Serve (process {server.partition('/')[0]})"
    command = " ".join(shlex.join(process.cmdline()).split()) or process.name()
    return f"process {process.pid} ({command[:_COMMAND_LETTERS]})"
