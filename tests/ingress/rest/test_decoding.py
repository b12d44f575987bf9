"""The decoder's process ends with whoever wanted the samples. All of it is real."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serve_app.decoder.results import RATE_HZ
from serve_app.ingress.rest import decoding
from serve_app.ingress.rest.decoding import Decoder
from tests.ingress.replica import DEADLINE_S

pytestmark = pytest.mark.timeout(60)

MINUTES = 60


def long_file() -> bytes:
    """It takes seconds to decode, and is small."""
    data = io.BytesIO()
    soundfile.write(data, np.zeros(MINUTES * 60 * RATE_HZ, np.int16), RATE_HZ, format="FLAC")
    return data.getvalue()


async def is_gone(process: int) -> None:
    """Also for those that wait for it: a process that has ended and that nobody has asked about is
    still there."""
    async with asyncio.timeout(DEADLINE_S):
        while Path(f"/proc/{process}").exists():  # noqa: ASYNC110, ASYNC240 - no event
            await asyncio.sleep(0.01)


def is_done(process: int) -> bool:
    """Whether somebody has asked about it or not: who adopts it is not up to us."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0] == "Z"
    except OSError:
        return True


class Starts:
    """In the place of the decoder's: waits before and after each start until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.may_start = threading.Event(), threading.Event()
        self.started = threading.Event()
        self.process = 0
        self._start = decoding._started
        monkeypatch.setattr(decoding, "_started", self.start)

    def start(self, most_s: float) -> "subprocess.Popen[bytes]":
        self.begun.set()
        assert self.may_start.wait(DEADLINE_S)
        process = self._start(most_s)
        self.process = process.pid
        self.started.set()
        return process


async def happens(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, DEADLINE_S)


async def test_who_leaves_while_it_starts_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = Starts(monkeypatch)
    asking = asyncio.create_task(Decoder(7200).decoded(long_file()))
    await happens(starts.begun)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    starts.may_start.set()
    await happens(starts.started)
    await is_gone(starts.process)


async def test_who_leaves_while_it_decodes_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = Starts(monkeypatch)
    starts.may_start.set()
    decoder = Decoder(7200)
    asking = asyncio.create_task(decoder.decoded(long_file()))
    await happens(starts.started)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await is_gone(starts.process)
    data = io.BytesIO()
    soundfile.write(data, np.zeros(RATE_HZ), RATE_HZ, format="WAV")
    assert len(await decoder.decoded(data.getvalue())) == RATE_HZ  # the next one has its turn


REPLICA = """
import asyncio, sys
from serve_app.ingress.rest import decoding
start = decoding._started
def started(most_s):
    process = start(most_s)
    print(process.pid, flush=True)
    return process
decoding._started = started
asyncio.run(decoding.Decoder(7200).decoded(sys.stdin.buffer.read()))
"""


def test_it_ends_with_a_replica_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", REPLICA], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as replica:
        assert replica.stdin is not None and replica.stdout is not None
        replica.stdin.write(long_file())
        replica.stdin.close()
        decoder = int(replica.stdout.readline())
        os.kill(decoder, signal.SIGSTOP)  # it is not through before its replica is gone
        replica.kill()
        replica.wait(DEADLINE_S)
        os.kill(decoder, signal.SIGCONT)
        due_s = time.monotonic() + DEADLINE_S
        while not is_done(decoder):
            assert time.monotonic() < due_s
            time.sleep(0.01)
