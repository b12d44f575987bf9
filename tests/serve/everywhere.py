"""Everything that a server shows or leaves behind: where words would be found that belong to
nobody but the two who talk."""

import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

DASHBOARD = (
    "/api/v0/actors?detail=1&limit=10000",
    "/api/v0/tasks?detail=1&limit=10000",
    "/api/v0/tasks/summarize",
    "/api/v0/tasks/timeline",
    "/api/v0/workers?detail=1",
    "/api/v0/objects?detail=1",
    "/api/v0/runtime_envs?detail=1",
    "/api/jobs/",
    "/api/serve/applications/",
    "/api/cluster_status",
    "/nodes?view=details",
    "/nodes?view=summary",
    "/logical/actors",
)
"""What Ray's dashboard and State API answer."""


class Syslog:
    """A place where HAProxy sends its log, as UDP."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.lines: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while (line := self._socket.recv(65536)) != b"end":
            self.lines.append(line)

    def close(self) -> None:
        host, _, port = self.address.partition(":")
        self._socket.sendto(b"end", (host, int(port)))
        self._reader.join()
        self._socket.close()


@contextmanager
def syslog() -> Iterator[Syslog]:
    log = Syslog()
    try:
        yield log
    finally:
        log.close()


def files(folder: Path) -> dict[str, bytes]:
    """All regular files below, by name."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with suppress(OSError):  # gone since
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def answer(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """The body, whatever the status."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        return error.read()


def dashboard(address: str, token: str) -> dict[str, bytes]:
    """All of DASHBOARD, and the metrics of each node."""
    signed = {"Authorization": f"Bearer {token}"}
    found = {path: answer(f"http://{address}{path}", signed) for path in DASHBOARD}
    nodes = json.loads(found["/nodes?view=summary"])["data"]["summary"]
    for node in nodes:
        port = node["raylet"]["metricsExportPort"]
        found[f"metrics of {node['ip']}"] = answer(f"http://{node['ip']}:{port}/metrics")
    return found


def found_in(places: Mapping[str, bytes], canaries: Mapping[str, str | bytes]) -> list[str]:
    """Which canary is where, with what is around it; empty is as it should be."""
    hits = []
    for place, content in places.items():
        for what, canary in canaries.items():
            sought = canary.encode() if isinstance(canary, str) else canary
            if match := re.search(re.escape(sought), content, re.IGNORECASE):
                around = content[max(0, match.start() - 200) : match.end() + 60]
                hits.append(f"{what} in {place}: {around!r}")
    return hits


def missed(places: Mapping[str, bytes], known: Mapping[str, str]) -> list[str]:
    """The control of `found_in`: which words it does not find where they are known to be; empty is
    as it should be. `known`: each word, by how the names of the places begin that it is in."""
    return [
        f"{word!r} in {at}"
        for at, word in known.items()
        if not found_in({n: c for n, c in places.items() if n.startswith(at)}, {word: word})
    ]
