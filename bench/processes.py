"""CPU and memory of processes, by what they do."""

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psutil

STAGES = {
    "ingress": "echo:Ingress",
    "vad": "echo:VoiceActivity",
    "stt": "echo:SpeechToText",
    "agent": "echo:Agent",
    "sessions": "ray::SessionActor",
    "haproxy": "haproxy",
}
"""A part of the title of each kind of server process."""
RAY = "ray"
"""All other processes of a server: raylet, GCS, controller, Ray's agents, the command itself."""
CLIENTS = "clients"
PROVIDERS = "providers"
_PROVIDERS_MODULE = "bench.providers"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of all processes of one kind. A page that several share counts once for each in `rss`,
    and once altogether in `pss`."""

    processes: int
    rss_mib: float
    pss_mib: float


@dataclass(frozen=True, slots=True)
class Usage:
    """At one moment."""

    at_s: float
    """time.monotonic()."""
    busy_s: float
    """CPU seconds of the whole machine since it started, including what other machines stole."""
    cpu_s: Mapping[str, Mapping[int, float]]
    """CPU seconds of each process since it started, by kind and process id."""


@dataclass(frozen=True, slots=True)
class Load:
    """What happened between two moments, in cores (CPU seconds a second)."""

    cores: dict[str, float]
    """By kind."""
    others: float
    """Cores that everything else on the machine took."""

    @classmethod
    def between(cls, before: Usage, after: Usage) -> "Load":
        """A process that started in between counts from its start, one that ended not at all."""
        seconds = after.at_s - before.at_s
        cores = {
            kind: sum(cpu_s - before.cpu_s.get(kind, {}).get(pid, 0.0) for pid, cpu_s in of.items())
            / seconds
            for kind, of in after.cpu_s.items()
        }
        others = (after.busy_s - before.busy_s) / seconds - sum(cores.values())
        return cls(cores, max(0.0, others))


@dataclass(frozen=True, slots=True)
class Account:
    """The processes of a server, of the clients (this one) and of the providers (its child)."""

    server_pid: int

    def usage(self) -> Usage:
        cpu_s: dict[str, dict[int, float]] = defaultdict(dict)
        for kind, process in self._processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            cpu_s[kind][process.pid] = times.user + times.system
        return Usage(time.monotonic(), _busy_s(), cpu_s)

    def memory(self) -> dict[str, Memory]:
        """By kind."""
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for kind, process in self._processes():
            try:
                info = process.memory_full_info()
            except psutil.Error:
                continue
            found[kind].append((info.rss, info.pss))
        return {
            kind: Memory(
                len(sizes), sum(s[0] for s in sizes) / _MIB, sum(s[1] for s in sizes) / _MIB
            )
            for kind, sizes in found.items()
        }

    def _processes(self) -> Iterator[tuple[str, psutil.Process]]:
        server = psutil.Process(self.server_pid)
        for process in [server, *server.children(recursive=True)]:
            yield kind_of(title(process)), process
        here = psutil.Process()
        yield CLIENTS, here
        for child in here.children():
            if _PROVIDERS_MODULE in command(child):
                yield PROVIDERS, child


def kind_of(title: str) -> str:
    """The kind of a server's process, by its title or the program that it runs."""
    return next((kind for kind, sign in STAGES.items() if sign in title), RAY)


def command(process: psutil.Process) -> list[str]:
    """Empty if the process has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def title(process: psutil.Process) -> str:
    """Empty if the process has ended."""
    return os.path.basename("".join(command(process)[:1]))


def _busy_s() -> float:
    times = psutil.cpu_times()
    # Linux counts guest time as user time too.
    idle = times.idle + times.iowait + times.guest + times.guest_nice
    return float(sum(times) - idle)
