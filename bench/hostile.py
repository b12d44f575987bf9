"""`make bench-hostile`: clients that mean harm, one kind after the other, beside eight callers.

The server is the one that `echo-serve run` starts; LLM and voice are local servers with fixed
delays. For each kind it prints the codes with which the hostile sockets were closed (0: served,
1006: cut off), how soon the others were answered, with and without it, and how much the ingress
grew. Exits with 1 if a call of the others was closed or not answered.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench import providers
from bench.hostile_callers import Seen, calling
from bench.hostile_clients import HOSTILE, Hostile
from bench.processes import Account
from tests.serve.conftest import Server, config_with, free_port, running_server

_WARM_UP_S = 3.0
_PLACES = 20
_HEAD = (
    "| hostile client | its sockets ended with | others p50, p99 | p99 alone | ratio | failed |"
    " grew |"
)


class Bench:
    """A running server, and what its callers notice."""

    def __init__(self, server: Server, callers: int) -> None:
        self._server = server
        self._callers = callers
        self._account = Account(server.process.pid)

    async def run(self, names: Sequence[str], calm_s: float) -> bool:
        """Whether no call of the others was closed, and each question answered."""
        calm = await self._measured(None, Counter(), calm_s)
        print(_row("nobody", Counter(), calm, calm, 0.0), flush=True)
        is_good = not calm.failures
        for name in names:
            hostile, seconds = HOSTILE[name]
            before, closes = self._memory_mib(), Counter[int]()
            seen = await self._measured(hostile, closes, seconds)
            print(_row(name, closes, seen, calm, self._memory_mib() - before), flush=True)
            for reason in {*seen.closed}:
                print(f"  closed: {reason}", file=sys.stderr)
            is_good = is_good and not seen.failures
        return is_good

    async def _measured(
        self, hostile: Hostile | None, closes: Counter[int], seconds: float
    ) -> Seen:
        seen = Seen()
        async with calling(self._server.url, self._callers, seen):
            await asyncio.sleep(_WARM_UP_S)
            seen.delays_s.clear()
            work = hostile(self._server.port, closes) if hostile else asyncio.sleep(seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(work, seconds)
        return seen

    def _memory_mib(self) -> float:
        return self._account.memory()["ingress"].rss_mib


def _row(name: str, closes: Counter[int], seen: Seen, calm: Seen, grew_mib: float) -> str:
    ended = ", ".join(f"{code} x{count}" for code, count in sorted(closes.items())) or "-"
    count, before = len(seen.delays_s), calm.percentile_ms(0.99)
    p99 = seen.percentile_ms(0.99)
    ratio = f"{p99 / before:.2f}" if before else "-"
    return (
        f"| {name} | {ended} | {seen.percentile_ms(0.5):.0f}, {p99:.0f} ms of {count} "
        f"| {before:.0f} ms | {ratio} | {seen.failures} | {grew_mib:+.0f} MiB |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", nargs="+", choices=list(HOSTILE), default=list(HOSTILE))
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--calm", type=float, default=15.0, help="seconds without a hostile client")
    arguments = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, providers.provided() as environment:
        config = config_with(Path(folder), port, ingress={"max_sessions": _PLACES})
        with running_server(config, port, environment) as server:
            print(_HEAD, "|---" * 7 + "|", sep="\n", flush=True)
            bench = Bench(server, arguments.callers)
            return int(not asyncio.run(bench.run(arguments.clients, arguments.calm)))


if __name__ == "__main__":
    sys.exit(main())
