"""Which transcription runs next, in virtual time."""

import numpy as np
import pytest

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.stt.job import Job, Urgency
from serve_app.stt.queue import TranscriptionQueue
from serve_app.stt.utterance import Utterance

FINAL, GUESS, PART, FILE = Urgency


def job(key: str, urgency: Urgency, due_at_s: float = 0.0, seconds: float = 2.0) -> Job:
    samples = np.zeros(round(seconds * SAMPLE_RATE_HZ), dtype=np.float32)
    return Job(key, Utterance(samples), urgency, due_at_s, asked_at_s=0.0)


def queue_of(*jobs: Job, max_waiting: int = 8, max_batch: int = 1) -> TranscriptionQueue:
    queue = TranscriptionQueue(max_waiting, max_batch)
    for each in jobs:
        assert queue.push(each, now_s=0.0) is None
    return queue


def order(queue: TranscriptionQueue, now_s: float = 0.0) -> list[str]:
    keys = []
    while batch := queue.take(now_s):
        keys.append("+".join(job.key for job in batch))
    return keys


def test_final_before_speculative_before_partial_whatever_came_first() -> None:
    queue = queue_of(job("part", PART), job("guess", GUESS, 1.0), job("final", FINAL))
    assert order(queue) == ["final", "guess", "part"]


def test_within_a_class_by_deadline() -> None:
    queue = queue_of(job("late", GUESS, 0.9), job("soon", GUESS, 0.3), job("later", GUESS, 1.0))
    assert order(queue) == ["soon", "late", "later"]


def test_a_speculative_job_that_is_due_is_final() -> None:
    """If the user had gone on, it would have been cancelled."""
    queue = queue_of(job("guess", GUESS, 0.4), job("final", FINAL, 0.5))
    assert order(queue, now_s=0.39) == ["final", "guess"]
    queue = queue_of(job("guess", GUESS, 0.4), job("final", FINAL, 0.5))
    assert order(queue, now_s=0.41) == ["guess", "final"]


def test_a_batch_is_what_waits_of_one_class_and_length() -> None:
    short = [job(f"short{i}", FINAL, seconds=1 + i) for i in range(3)]
    long = job("long", FINAL, seconds=20)
    guess = job("guess", GUESS, 9.0)
    queue = queue_of(short[0], long, guess, short[1], short[2], max_batch=2)
    assert order(queue) == ["short0+short1", "long", "short2", "guess"]


def test_only_what_is_more_urgent_interrupts() -> None:
    queue = queue_of(job("guess", GUESS, 0.4))
    assert queue.take(0.0, above=GUESS) == queue.take(0.0, above=FINAL) == []
    assert [job.key for job in queue.take(0.0, above=PART)] == ["guess"]


def test_what_nobody_wants_any_more_is_dropped_before_it_runs() -> None:
    dead, live = job("dead", FINAL), job("live", GUESS, 1.0)
    queue = queue_of(dead, live)
    dead.utterance.abandoned.set()
    assert order(queue) == ["live"]
    assert len(queue) == 0


def test_a_full_queue_refuses_the_least_urgent() -> None:
    queue = queue_of(job("part", PART), job("guess", GUESS, 1.0), max_waiting=2)
    shed = queue.push(job("final", FINAL), now_s=0.0)
    assert shed is not None and shed.key == "part"
    shed = queue.push(job("guess2", GUESS, 2.0), now_s=0.0)
    assert shed is not None and shed.key == "guess2", "the one that is due last"
    assert order(queue) == ["final", "guess"]


def test_a_file_comes_after_everything_and_is_the_first_to_be_refused() -> None:
    queue = queue_of(job("file", FILE), job("part", PART), job("guess", GUESS, 5.0))
    assert order(queue) == ["guess", "part", "file"]
    queue = queue_of(job("file", FILE), job("part", PART), max_waiting=2)
    shed = queue.push(job("final", FINAL), now_s=0.0)
    assert shed is not None and shed.key == "file"


def test_what_was_dropped_makes_room() -> None:
    dead = job("dead", FINAL)
    queue = queue_of(dead, max_waiting=1)
    dead.utterance.abandoned.set()
    assert queue.push(job("next", PART), now_s=0.0) is None


def test_partials_wait_for_one_batch_at_most() -> None:
    queue = queue_of(job("part0", PART), job("part1", PART), max_batch=2)
    shed = queue.push(job("part2", PART), now_s=0.0)
    assert shed is not None and shed.key == "part2"


@pytest.mark.parametrize(
    "urgency, expected", [(FINAL, 3.0), (GUESS, 3.0), (PART, 0.0), (FILE, 0.0)]
)
def test_the_longest_wait_is_that_of_turns(urgency: Urgency, expected: float) -> None:
    assert queue_of(job("one", urgency, 1.0)).longest_wait_s(now_s=3.0) == expected
