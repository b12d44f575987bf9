"""Runs transcriptions on one thread. A batch is put aside while a more urgent one runs."""

import logging
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from serve_app.errors import EngineError, EngineUnavailable
from serve_app.outline import outline
from serve_app.stt.job import Heard, Job, Request, Urgency
from serve_app.stt.queue import TranscriptionQueue
from serve_app.stt.utterance import Utterance

log = logging.getLogger(__name__)

Transcribe = Callable[[Sequence[Utterance]], Generator[None, None, list[Heard]]]
"""What was said, for each utterance of a batch. Pauses at each `yield`, every few milliseconds, so
that a more urgent batch can run or this one be closed."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the pool is scaled by."""

    longest_wait_s: float
    """From the request to the start of its work, for what is part of a turn."""
    busy: float
    """The share of the time that the engine ran, 0 to 1."""


class _Batch:
    """Jobs that run together."""

    def __init__(self, jobs: list[Job], transcribe: Transcribe) -> None:
        self.jobs = jobs
        self._steps = transcribe([job.utterance for job in jobs])

    def urgency_at(self, now_s: float) -> Urgency:
        return min(job.urgency_at(now_s) for job in self.jobs)

    def step(self) -> bool:
        """Runs to the next `yield`. True at the end, when every job has its text.

        Raises what the engine raises.
        """
        if not any(job.is_wanted for job in self.jobs):
            self._steps.close()
            return True
        try:
            next(self._steps)
        except StopIteration as done:
            for job, heard in list(zip(self.jobs, done.value, strict=True)):
                job.heard.set_result(heard)
            return True
        return False


class TranscriptionWorker:
    """Owns the thread on which the engine runs, and the jobs that wait for it."""

    def __init__(
        self,
        transcribe: Transcribe,
        queue: TranscriptionQueue,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transcribe = transcribe
        self._queue = queue
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        """Waiting and running, by key."""
        self._put_aside: list[_Batch] = []
        """The last of them runs. Each is more urgent than the one before it."""
        self._longest_wait_s = self._busy_s = 0.0
        self._load_since_s = clock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="transcriber", daemon=True)
        self._thread.start()

    def submit(self, request: Request, language: str) -> Job:
        """A new job for the request, or the job of an equal request that is already here.
        `language` is one that the model knows. Raises EngineUnavailable if the queue is full of
        more urgent jobs."""
        now_s = self._clock()
        with self._changed:
            job = self._jobs.get(request.key)
            if job is not None and job.is_wanted:
                job.waiters += 1
                job.urgency = min(job.urgency, request.urgency)
                return job
            utterance = Utterance(request.samples, language, request.hint)
            due_at_s = now_s + request.due_in_s
            job = Job(request.key, utterance, request.urgency, due_at_s, now_s)
            self._jobs[job.key] = job
            shed = self._queue.push(job, now_s)
            self._changed.notify()
        if shed is not None:
            self._forget(shed)
            busy = EngineUnavailable("stt", "more is waiting than can be transcribed in time")
            if shed is job:
                raise busy
            shed.heard.set_exception(busy)
        return job

    def leave(self, job: Job) -> None:
        """A caller has the text, or does not want it any more."""
        with self._changed:
            job.waiters -= 1
            if not job.waiters:
                # Read between two steps: the engine is free within milliseconds.
                job.utterance.abandoned.set()

    def load(self) -> Load:
        """Since the last call."""
        now_s = self._clock()
        with self._changed:
            longest_s = max(self._longest_wait_s, self._queue.longest_wait_s(now_s))
            busy = self._busy_s / max(now_s - self._load_since_s, 1e-3)
            self._longest_wait_s = self._busy_s = 0.0
            self._load_since_s = now_s
        return Load(longest_s, min(1.0, busy))

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """Ends the thread. Jobs that still wait fail."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    # --- on the thread ---

    def _run(self) -> None:
        while self._next():
            started_s = self._clock()
            self._step(self._put_aside[-1])
            self._busy_s += self._clock() - started_s
        gone = EngineUnavailable("stt", "the transcriber is shut down")
        for job in list(self._jobs.values()):
            job.heard.set_exception(gone)

    def _step(self, batch: _Batch) -> None:
        try:
            if not batch.step():
                return
        except Exception as error:
            self._put_aside.pop()
            self._fail(batch.jobs, error)
        else:
            self._put_aside.pop()
            for job in batch.jobs:
                self._forget(job)

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        """Tries the jobs one by one: a job that cannot be done must not cost the others their
        text, which other users wait for."""
        log.warning("a batch of %d transcriptions failed:\n%s", len(jobs), outline(error))
        if len(jobs) > 1:
            self._put_aside += [_Batch([job], self._transcribe) for job in reversed(jobs)]
            return
        is_known = isinstance(error, EngineError)
        for job in jobs:
            job.heard.set_exception(error if is_known else EngineError("stt", type(error).__name__))
            self._forget(job)

    def _next(self) -> bool:
        """Makes sure that the most urgent batch is the one to run; waits while there is none. False
        at the end."""
        with self._changed:
            while not self._is_closed:
                now_s = self._clock()
                running = self._put_aside[-1].urgency_at(now_s) if self._put_aside else None
                if jobs := self._queue.take(now_s, above=running):
                    self._begin(jobs, now_s)
                if self._put_aside:
                    return True
                self._changed.wait()
        return False

    def _begin(self, jobs: list[Job], now_s: float) -> None:
        self._put_aside.append(_Batch(jobs, self._transcribe))
        for job in jobs:
            if job.urgency.is_of_a_turn:
                self._longest_wait_s = max(self._longest_wait_s, now_s - job.asked_at_s)

    def _forget(self, job: Job) -> None:
        with self._changed:
            if self._jobs.get(job.key) is job:
                del self._jobs[job.key]
