"""Where the Ray of a server on this machine listens."""

from collections.abc import Iterable, MutableMapping
from contextlib import suppress

import psutil

_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""`0`: Ray leaves 127.0.0.1 as it is. By default it takes the machine's address instead, where the
Ray that `echo-serve run` starts does not listen."""
_OPTION = "--gcs-address="


def stay_on_loopback(env: MutableMapping[str, str], address: str) -> None:
    """For a command that asks a server: before Ray is imported, which reads `env` then. `address`
    as for `ray.init`; a Ray that listens elsewhere is left alone."""
    listening = loopback_addresses(_command_lines())
    wanted = env.get("RAY_ADDRESS", "") if address == "auto" else address
    wanted = wanted.replace("localhost:", "127.0.0.1:")
    if wanted in listening or (not wanted and listening):
        env.setdefault(_CLUSTERS, "0")


def loopback_addresses(command_lines: Iterable[list[str]]) -> set[str]:
    """The addresses of Ray's on loopback that these processes belong to."""
    options = (option for line in command_lines for option in line if option.startswith(_OPTION))
    addresses = {option.removeprefix(_OPTION) for option in options}
    return {address for address in addresses if address.startswith("127.0.0.1:")}


def _command_lines() -> Iterable[list[str]]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            yield process.cmdline()
