"""Which transcription runs next. There is no thread and no clock in here: the time is passed in."""

from serve_app.conversation.settings import WHISPER_WINDOW_S
from serve_app.stt.job import Job, Urgency
from serve_app.stt.utterance import Utterance

_LENGTHS_S = (4.0, 8.0, 16.0, float(WHISPER_WINDOW_S))
"""The utterances of a batch share the window of the longest, so only utterances of similar length
go together. Up to 4 s, all have the shortest window."""


class TranscriptionQueue:
    """A replica's waiting jobs: final before speculative before partial before files,
    then by deadline."""

    def __init__(self, max_waiting: int, max_batch: int) -> None:
        self._max_waiting = max_waiting
        self._max_batch = max_batch
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def push(self, job: Job, now_s: float) -> Job | None:
        """Takes a job. If that is one too many, returns the least urgent job, which may be `job`
        itself; its callers have to be told."""
        self._drop_unwanted()
        parts = sum(waiting.urgency is Urgency.PARTIAL for waiting in self._jobs)
        if job.urgency is Urgency.PARTIAL and parts >= self._max_batch:
            return job  # the next partial is due before this one would run
        self._jobs.append(job)
        if len(self._jobs) <= self._max_waiting:
            return None
        last = max(self._jobs, key=lambda waiting: _rank(waiting, now_s))
        self._jobs.remove(last)
        return last

    def take(self, now_s: float, above: Urgency | None = None) -> list[Job]:
        """The next batch, which leaves the queue: the most urgent job, and others as urgent and of
        similar length. With `above`, only jobs that are more urgent than that. May be empty."""
        self._drop_unwanted()
        self._jobs.sort(key=lambda job: _rank(job, now_s))
        if not self._jobs:
            return []
        first = self._jobs[0]
        urgency, length_s = first.urgency_at(now_s), _length_s(first.utterance)
        if above is not None and urgency >= above:
            return []
        alike = [
            job
            for job in self._jobs
            if job.urgency_at(now_s) is urgency and _length_s(job.utterance) == length_s
        ]
        batch = alike[: self._max_batch]
        self._jobs = [job for job in self._jobs if job not in batch]
        return batch

    def longest_wait_s(self, now_s: float) -> float:
        """The longest wait of a job that is part of a turn; 0 if there is none."""
        waiting = [job.asked_at_s for job in self._jobs if job.urgency.is_of_a_turn]
        return now_s - min(waiting, default=now_s)

    def _drop_unwanted(self) -> None:
        self._jobs = [job for job in self._jobs if job.is_wanted]


def _rank(job: Job, now_s: float) -> tuple[Urgency, float, float]:
    return job.urgency_at(now_s), job.due_at_s, job.asked_at_s


def _length_s(utterance: Utterance) -> float:
    fitting = (length_s for length_s in _LENGTHS_S if utterance.duration_s <= length_s)
    return next(fitting, _LENGTHS_S[-1])
