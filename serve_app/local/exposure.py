"""Who can reach the server: which addresses it listens to, and on which condition."""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from serve_app.access.addresses import address_of
from serve_app.errors import ConfigError

LOOPBACK = "127.0.0.1"
HOST_VARIABLE = "ECHO_SERVE_HOST"
OPEN_VARIABLE = "ECHO_SERVE_OPEN"
METRICS_HOST_VARIABLE = "ECHO_METRICS_HOST"
PER_ADDRESS_VARIABLE = "ECHO_CONNECTIONS_PER_ADDRESS"
_PER_ADDRESS = 512
"""Far more than an ingress replica has sessions, and far fewer than HAProxy has places."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Addresses, as numbers."""

    host: str = LOOPBACK
    metrics_host: str = LOOPBACK
    connections_per_address: int = _PER_ADDRESS
    is_open: bool = False
    """Whether a public address needs no credentials."""

    @property
    def is_public(self) -> bool:
        return not is_loopback(self.host)

    @property
    def host_in_url(self) -> str:
        """For somebody on this machine."""
        if self.host in ("0.0.0.0", "::") or not self.is_public:
            return "localhost"
        return f"[{self.host}]" if ":" in self.host else self.host


def exposure(host: str | None, is_open: bool, env: Mapping[str, str]) -> Exposure:
    """What the command line asks for, else the environment, else this machine only. Raises
    ConfigError, with one line, if that cannot be."""
    return Exposure(
        _address("--host", host) if host else _address(HOST_VARIABLE, env.get(HOST_VARIABLE, "")),
        _address(METRICS_HOST_VARIABLE, env.get(METRICS_HOST_VARIABLE, "")),
        _count(env.get(PER_ADDRESS_VARIABLE, "").strip()),
        is_open or env.get(OPEN_VARIABLE, "").strip() == "1",
    )


def warnings(wanted: Exposure, has_credentials: bool) -> list[str]:
    """What the owner is to be told at start. Raises ConfigError if strangers could talk with the
    agent, and nobody has said that they may."""
    if not wanted.is_public or has_credentials:
        return []
    if not wanted.is_open:
        raise ConfigError(
            f"at {wanted.host} anybody could use this server: say who may (`echo-serve keys add"
            f" NAME`), or that anybody may (--open, or {OPEN_VARIABLE}=1)"
        )
    return [
        f"  WARNING: no keys are set, and the server listens at {wanted.host}: whoever reaches its",
        "  port can talk with the agent, at your cost. `echo-serve keys add NAME` makes a key.",
    ]


def unheard(in_file: str, wanted: Exposure) -> list[str]:
    """What the owner is to be told if the file would let others in (`http_options.host`), since
    only `serve run` and clusters go by that."""
    address = address_of(in_file)
    is_for_others = not address.is_loopback if address else in_file not in ("", "localhost")
    if wanted.is_public or not is_for_others:
        return []
    return [
        f"  NOTE: the server listens at {wanted.host}, for this machine only. The file's"
        f" http_options.host is {in_file}, but that is for `serve run`: here use --host {in_file}"
    ]


def is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback


def _address(setting: str, host: str) -> str:
    try:
        found = socket.getaddrinfo(host.strip() or LOOPBACK, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ConfigError(f"{setting}: {host!r} is not an address of this machine") from None
    return str(found[0][4][0])


def _count(value: str) -> int:
    if value and not value.isdigit():
        raise ConfigError(
            f"{PER_ADDRESS_VARIABLE}: {value!r} is not a number; 0 is for any number of connections"
        )
    return int(value or _PER_ADDRESS)
