"""`make audit`: asks pip-audit for known vulnerabilities of everything that is locked for this
system, but for the other server of `make bench-peers`, which has versions of its own.

It needs a service of advisories: PyPI's, OSV's, or a copy of OSV's. A mirror of the package index
has none. Where no service can be reached, nothing was audited: that is said, and the command ends
with 2, or with 0 if `--where-possible` is given. A vulnerability that is found ends it with 1, and
so does whatever else pip-audit fails with.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from supply.locks import BENCH, BUILD, CUDA, DEV, ROOT

_SERVICES = [("-s", "pypi"), ("-s", "osv")]
_UNREACHED = (
    "Dependency not found on PyPI and could not be audited",
    "ConnectionError",
    "Failed to resolve",
    "Max retries exceeded",
)
"""What pip-audit says when its service is not there, for a package that pip has installed."""
IGNORED: dict[str, str] = {}
"""Advisories that do not concern this server, with the reason."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m supply.audit", description=__doc__)
    parser.add_argument(
        "--where-possible", action="store_true", help="no failure where no service can be reached"
    )
    parser.add_argument("--osv-url", help="ask only this service, which speaks OSV's protocol")
    options = parser.parse_args(arguments)
    copied = [("-s", "osv", "--osv-url", options.osv_url)]
    said = {}
    for service in copied if options.osv_url else _SERVICES:
        done = subprocess.run(list(_command(service)), cwd=ROOT, capture_output=True, text=True)
        output = (done.stdout + done.stderr).strip()
        if done.returncode == 0 or not was_unreached(output):
            print(output)
            return int(done.returncode != 0)
        said[service[-1]] = output.splitlines()[-1]
    print("NOT AUDITED: no service of advisories can be reached from here.")
    print(*(f"  {service}: {line}" for service, line in said.items()), sep="\n")
    return 0 if options.where_possible else 2


def _command(service: Sequence[str]) -> Iterator[str]:
    """The development lock has all of the server's packages, but neither what builds some of them
    nor what `make bench-stt` adds."""
    yield from (str(Path(sys.executable).parent / "pip-audit"), "--strict", "--disable-pip")
    yield from ("--require-hashes", "--progress-spinner", "off", *service)
    for lock in (DEV, CUDA, BUILD, BENCH):
        yield from ("-r", lock)
    for advisory in IGNORED:
        yield from ("--ignore-vuln", advisory)


def was_unreached(output: str) -> bool:
    """Whether pip-audit did not get to its service, by what it printed."""
    return any(sign in output for sign in _UNREACHED)


if __name__ == "__main__":
    sys.exit(main())
