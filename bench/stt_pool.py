"""The pool of transcribers on a local Ray: everybody at once, guesses in between, and a death."""

import asyncio
import itertools
import logging
import os
import random
import signal
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import ray
from ray import serve

from serve_app.app import transcribers
from serve_app.errors import EngineError
from serve_app.ingress.transcribers import TranscriberPool
from serve_app.protocol.messages import Samples
from serve_app.settings.schema import SttSettings
from serve_app.stt.job import Request, Urgency
from tests.speech import word_error_rate

SESSIONS = 16
WITHIN_S = 0.05
ROUNDS = 24
"""Every other round has guesses, so that both kinds see the machine in the same state."""
GUESSERS = 4
"""Sessions whose users keep pausing: each asks for a guess as soon as it has the one before."""
SPEAKERS = 4
"""Sessions with a partial transcript every second."""
_FAR_S = 30.0
_APP = "transcribers"
_SAME = 0.15
"""Word error rate."""


@dataclass(frozen=True, slots=True)
class Waits:
    """From the request for a final text to the text."""

    finals: int
    p50_ms: float
    p99_ms: float
    other_texts: int
    """Guesses and partials that arrived in the meantime."""


@dataclass(frozen=True, slots=True)
class Death:
    """One of two replicas is killed while both are at work."""

    asked: int
    arrived: int
    right: int
    """As good as without the death: other utterances in a batch change a word here and there."""
    again: int
    """Requests that were made again."""
    slowest_ms: float


@contextmanager
def pool_of(replicas: int, threads: int) -> Iterator["Pool"]:
    """A local Ray with nothing but transcribers; stops both at the end."""
    settings = SttSettings(replicas=replicas, threads=threads, num_gpus=0.0, device="cpu")
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        handle = serve.run(transcribers(settings), name=_APP, route_prefix=None)
        yield Pool(settings, handle)
    finally:
        serve.shutdown()
        ray.shutdown()


class Pool:
    """Asks as an ingress does, and counts."""

    def __init__(self, settings: SttSettings, handle: serve.handle.DeploymentHandle) -> None:
        self._handle = handle
        self._transcribers = TranscriberPool(settings, self._call)
        self._keys = itertools.count()
        self.calls = 0

    def _call(self, request: Request) -> object:
        self.calls += 1
        return self._handle.transcribe.remote(request)

    async def text(
        self, samples: Samples, urgency: Urgency = Urgency.FINAL, due_in_s: float = 0.0
    ) -> str:
        request = Request(f"bench/{next(self._keys)}", samples, "", urgency, due_in_s)
        return (await self._transcribers.transcribe(request)).text

    async def everybody_at_once(self, speech: Sequence[Samples]) -> tuple[Waits, Waits]:
        """Without guesses, and with them."""
        await asyncio.gather(*(self.text(samples) for samples in speech))  # warm
        waits_ms: dict[bool, list[float]] = {False: [], True: []}
        others = 0
        for number in range(ROUNDS):
            has_guesses = number % 2 == 1
            background = Background(self, speech) if has_guesses else None
            if background:
                await background.is_going.wait()
            waits_ms[has_guesses] += await self._round(speech, random.Random(number // 2))
            if background:
                others += await background.stop()
        return _waits(waits_ms[False], 0), _waits(waits_ms[True], others)

    async def _round(self, speech: Sequence[Samples], rng: random.Random) -> list[float]:
        """With the same random numbers, the same speech comes at the same moments."""

        async def end_turn(samples: Samples, after_s: float) -> float:
            await asyncio.sleep(after_s)
            asked_s = time.perf_counter()
            await self.text(samples)
            return (time.perf_counter() - asked_s) * 1000

        turns = [
            end_turn(speech[i % len(speech)], rng.uniform(0, WITHIN_S)) for i in range(SESSIONS)
        ]
        return list(await asyncio.gather(*turns))

    async def death(self, speech: Sequence[Samples], expected: Sequence[str]) -> Death:
        """Asks both replicas for long texts, and kills one when the first text has arrived."""
        asked_s = time.perf_counter()
        before = self.calls
        tasks = [asyncio.create_task(self.text(samples)) for samples in speech]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        os.kill(replica_pids()[0], signal.SIGKILL)
        texts = await asyncio.gather(*tasks, return_exceptions=True)
        slowest_ms = (time.perf_counter() - asked_s) * 1000
        arrived = [text for text in texts if isinstance(text, str)]
        right = sum(
            isinstance(text, str) and word_error_rate(wanted, text) <= _SAME
            for text, wanted in zip(texts, expected, strict=True)
        )
        again = self.calls - before - len(speech)
        return Death(len(speech), len(arrived), right, again, slowest_ms)


class Background:
    """Endless guesses and partials."""

    def __init__(self, pool: Pool, speech: Sequence[Samples]) -> None:
        self._pool = pool
        self._texts = 0
        self.is_going = asyncio.Event()
        kinds = [Urgency.SPECULATIVE] * GUESSERS + [Urgency.PARTIAL] * SPEAKERS
        self._tasks = [
            asyncio.create_task(self._ask(speech[i % len(speech)], kind))
            for i, kind in enumerate(kinds)
        ]

    async def _ask(self, samples: Samples, urgency: Urgency) -> None:
        while True:
            try:
                await self._pool.text(samples, urgency, _FAR_S)
                self._texts += 1
                self.is_going.set()
            except EngineError:
                await asyncio.sleep(0.1)  # refused, as it should be under load
            if urgency is Urgency.PARTIAL:
                await asyncio.sleep(1.0)

    async def stop(self) -> int:
        """Returns how many texts arrived."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return self._texts


def replica_pids() -> list[int]:
    """The processes of the transcribers, in the Ray that this process started."""
    children = psutil.Process().children()
    raylets = [process for process in children if process.name() == "raylet"]
    workers = [worker for raylet in raylets for worker in raylet.children(recursive=True)]
    return sorted(w.pid for w in workers if "SpeechToText" in " ".join(w.cmdline()[:1]))


def _waits(waits_ms: list[float], others: int) -> Waits:
    cuts = statistics.quantiles(waits_ms, n=100, method="inclusive")
    return Waits(len(waits_ms), statistics.median(waits_ms), cuts[98], others)
