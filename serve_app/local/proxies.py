"""Proxies that the environment names, as companies do, are for what is outside this machine."""

from collections.abc import MutableMapping

_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
"""In upper case, too."""
_HERE = ("localhost", "127.0.0.1", "::1")


def go_around_proxies(env: MutableMapping[str, str]) -> None:
    """Changes `env`, if it names a proxy, so that no call within the server goes to one.

    Serve's replicas call each other by gRPC, which would take a lower-case `http_proxy` or
    `https_proxy`, and which alone reads `no_grpc_proxy`. It knows addresses, not names, so `*` does
    not work. LLMs, voices and tools of this machine are called by HTTP, without a proxy as well.
    """
    if not any(name.lower() in _PROXY_VARIABLES for name in env):
        return
    env.setdefault("no_grpc_proxy", "0.0.0.0/0,::/0")
    excepted = env.get("no_proxy") or env.get("NO_PROXY") or ""
    names = [name.strip() for name in excepted.split(",") if name.strip()]
    # Libraries differ in which of the two they read.
    env["no_proxy"] = env["NO_PROXY"] = ",".join(dict.fromkeys([*names, *_HERE]))
