"""Sound files, decoded by a process of their own."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.decoder.results import RATE_HZ, Result
from serve_app.errors import EngineError, EngineTimeout
from serve_app.protocol.realtime.refused import Refused

Pcm = npt.NDArray[np.int16]
"""At `RATE_HZ`, shape (n,)."""

_MODULE: Final = "serve_app.decoder.decode"
_ROOT: Final = str(Path(__file__).parents[3])
_NEEDED: Final = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""Of the environment, which has secrets."""
_BROKEN: Final = 1
"""The exit status of Python after an exception. Whoever is stopped in C has another one."""
_WITHIN_S: Final = 30.0
_LEAST_S: Final = 0.1


class Decoder:
    """One file at a time: the processor belongs to conversations."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._is_free = asyncio.Semaphore(1)

    async def decoded(self, data: bytes) -> Pcm:
        """Raises Refused, and EngineError if no file could be decoded."""
        async with self._is_free:
            work = _Work(self._most_s)
            try:
                status, pcm = await asyncio.to_thread(work.run, data)
            finally:
                work.leave()  # if nobody waits any more
        if status == _BROKEN:
            raise EngineError("stt", "the decoder of sound files does not work")
        if status != Result.DONE:
            raise Refused("invalid_file", self._why(status), "file")
        if len(pcm) < _LEAST_S * RATE_HZ * 2:
            raise Refused("invalid_file", f"the file is shorter than {_LEAST_S:g} s", "file")
        return np.frombuffer(pcm, "<i2")

    def _why(self, status: int) -> str:
        if status == Result.TOO_LONG:
            return f"the file is longer than {self._most_s:g} s: send it in parts"
        if status == Result.UNUSUAL:
            return "it has to have 4 to 192 kHz, and 8 channels at most"
        return "it cannot be decoded: send WAV, FLAC, Ogg (Vorbis or Opus) or MP3"


class _Work:
    """One process, in a thread that also waits for its end. Whoever wants the samples may leave at
    any time: also while it starts, when there is no process yet that could be ended."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._process: subprocess.Popen[bytes] | None = None
        self._is_left = False

    def run(self, data: bytes) -> tuple[int, bytes]:
        """Its exit status, and what it has written. Raises EngineTimeout."""
        with _started(self._most_s) as process:
            self._process = process
            if self._is_left:
                process.kill()
            try:
                pcm, _ = process.communicate(data, _WITHIN_S)
            except subprocess.TimeoutExpired:  # long after it may have no more processor time
                process.kill()
                message = f"no file was decoded within {_WITHIN_S:g} s: this machine is busy"
                raise EngineTimeout("stt", message) from None
        return process.returncode, pcm

    def leave(self) -> None:
        """Ends it. `run` sets what is read here and reads what is set here, in this order: one of
        the two sees the other."""
        self._is_left = True
        if self._process is not None:
            self._process.kill()


def _started(most_s: float) -> "subprocess.Popen[bytes]":
    environment = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    paths = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(most_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # it may quote the file
        env=environment | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
    )
