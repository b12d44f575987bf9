"""The processes that browsers are, and what they listen on."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def running(
    *command: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process; afterwards, it is gone."""
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def address(process: asyncio.subprocess.Process, protocol: str, within_s: float) -> str:
    """Where it says that this protocol can be spoken."""
    assert process.stderr is not None
    sign = re.compile(rf"{protocol} listening on (ws://\S+)".encode())
    async with asyncio.timeout(within_s):
        async for line in process.stderr:
            if found := sign.search(line):
                return found[1].decode()
    raise AssertionError(f"it ended before it said where {protocol} is spoken")
