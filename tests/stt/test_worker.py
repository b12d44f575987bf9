"""The thread that transcribes, with an engine that goes on when the test says so."""

import threading
from collections.abc import Generator, Iterator, Sequence

import numpy as np
import pytest

from serve_app.errors import EngineError, EngineUnavailable
from serve_app.stt.job import Heard, Job, Request, Urgency
from serve_app.stt.queue import TranscriptionQueue
from serve_app.stt.utterance import Utterance
from serve_app.stt.worker import TranscriptionWorker

FINAL, GUESS, PART, FILE = Urgency
SECOND = np.zeros(16_000, dtype=np.float32)
WITHIN_S = 10.0


class Engine:
    """Records what it does. A batch whose hint is `slow` goes on only when it is allowed to."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.is_at_work = threading.Event()
        self.may_go_on = threading.Event()

    def transcribe(self, utterances: Sequence[Utterance]) -> Generator[None, None, list[Heard]]:
        name = "+".join(utterance.language for utterance in utterances)
        self.log.append(f"begin {name}")
        try:
            if utterances[0].hint == "slow":
                self.is_at_work.set()
                while not self.may_go_on.is_set():
                    yield
            if any(utterance.hint == "fails" for utterance in utterances):
                raise MemoryError
            yield
        except GeneratorExit:
            self.log.append(f"closed {name}")
            raise
        self.log.append(f"end {name}")
        return [Heard(utterance.language) for utterance in utterances]


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def worker(engine: Engine) -> Iterator[TranscriptionWorker]:
    worker = TranscriptionWorker(engine.transcribe, TranscriptionQueue(max_waiting=4, max_batch=2))
    yield worker
    engine.may_go_on.set()
    worker.close()
    assert not worker.is_alive()


def ask(worker: TranscriptionWorker, name: str, urgency: Urgency = FINAL, hint: str = "") -> Job:
    """The engine tells jobs apart by their language, the worker by their keys."""
    return worker.submit(Request(name, SECOND, "", urgency, due_in_s=60.0, hint=hint), name)


def text_of(job: Job) -> str:
    return job.heard.result(WITHIN_S).text


def begin(worker: TranscriptionWorker, engine: Engine, urgency: Urgency) -> Job:
    slow = ask(worker, "slow", urgency, hint="slow")
    assert engine.is_at_work.wait(WITHIN_S)
    return slow


def test_a_text_comes_back(worker: TranscriptionWorker) -> None:
    assert text_of(ask(worker, "one")) == "one"


@pytest.mark.parametrize("less, more", [(GUESS, FINAL), (FILE, FINAL), (FILE, PART)])
def test_what_is_more_urgent_puts_the_rest_aside_which_then_goes_on(
    worker: TranscriptionWorker, engine: Engine, less: Urgency, more: Urgency
) -> None:
    slow = begin(worker, engine, less)
    assert text_of(ask(worker, "urgent", more)) == "urgent"
    assert not slow.heard.done()
    engine.may_go_on.set()
    assert text_of(slow) == "slow"
    assert engine.log == ["begin slow", "begin urgent", "end urgent", "end slow"]


def test_a_final_is_not_put_aside(worker: TranscriptionWorker, engine: Engine) -> None:
    slow = begin(worker, engine, FINAL)
    others = [ask(worker, "guess", GUESS), ask(worker, "final")]
    engine.may_go_on.set()
    assert [text_of(job) for job in [slow, *others]] == ["slow", "guess", "final"]
    begun = [line for line in engine.log if line.startswith("begin")]
    assert begun == ["begin slow", "begin final", "begin guess"]


def test_what_waits_goes_together(worker: TranscriptionWorker, engine: Engine) -> None:
    begin(worker, engine, FINAL)
    jobs = [ask(worker, name) for name in ("a", "b", "c")]
    engine.may_go_on.set()
    assert [text_of(job) for job in jobs] == ["a", "b", "c"]
    assert "begin a+b" in engine.log


def test_work_that_nobody_wants_ends_at_once(worker: TranscriptionWorker, engine: Engine) -> None:
    slow = begin(worker, engine, FINAL)
    queued = ask(worker, "queued")
    worker.leave(queued)
    worker.leave(slow)
    assert text_of(ask(worker, "next")) == "next"
    assert engine.log == ["begin slow", "closed slow", "begin next", "end next"]


def test_the_same_segment_is_transcribed_once(worker: TranscriptionWorker, engine: Engine) -> None:
    begin(worker, engine, FINAL)
    first, second = ask(worker, "twice", GUESS), ask(worker, "twice", FINAL)
    assert first is second and first.urgency is FINAL
    worker.leave(first)
    engine.may_go_on.set()
    assert text_of(second) == "twice", "one of two callers left"
    assert engine.log.count("begin twice") == 1
    worker.leave(second)


def test_the_same_segment_is_transcribed_again_after_the_first_was_cancelled(
    worker: TranscriptionWorker, engine: Engine
) -> None:
    begin(worker, engine, FINAL)
    worker.leave(ask(worker, "twice"))
    again = ask(worker, "twice")
    engine.may_go_on.set()
    assert text_of(again) == "twice"


def test_a_full_line_refuses_with_an_error_that_may_be_retried(
    worker: TranscriptionWorker, engine: Engine
) -> None:
    begin(worker, engine, FINAL)
    guesses = [ask(worker, f"guess{i}", GUESS) for i in range(4)]
    with pytest.raises(EngineUnavailable) as refused:
        ask(worker, "part", PART)
    assert refused.value.retryable
    ask(worker, "final")
    shed = [job for job in guesses if job.heard.done()]
    assert [job.key for job in shed] == ["guess3"]
    assert isinstance(shed[0].heard.exception(), EngineUnavailable)


def test_an_engine_that_fails_fails_its_batch_only(
    worker: TranscriptionWorker, engine: Engine
) -> None:
    error = ask(worker, "bad", hint="fails").heard.exception(WITHIN_S)
    assert isinstance(error, EngineError) and str(error) == "stt: MemoryError"
    assert text_of(ask(worker, "good")) == "good"


def test_a_job_that_cannot_be_done_fails_alone_in_its_batch(
    worker: TranscriptionWorker, engine: Engine
) -> None:
    begin(worker, engine, FINAL)
    good, bad = ask(worker, "good"), ask(worker, "bad", hint="fails")
    engine.may_go_on.set()
    assert text_of(good) == "good"
    assert str(bad.heard.exception(WITHIN_S)) == "stt: MemoryError"
    begun = [line for line in engine.log if line.startswith("begin")]
    assert begun == ["begin slow", "begin good+bad", "begin good", "begin bad"]
    assert text_of(ask(worker, "bad")) == "bad", "it may be asked for again"


def test_closing_fails_what_is_left(engine: Engine) -> None:
    worker = TranscriptionWorker(engine.transcribe, TranscriptionQueue(4, 1))
    running, waiting = begin(worker, engine, FINAL), ask(worker, "waiting")
    worker.close()
    for job in (running, waiting):
        assert isinstance(job.heard.exception(WITHIN_S), EngineUnavailable)


def test_the_load_is_that_since_it_was_asked_for_last(engine: Engine) -> None:
    now_s = [100.0]
    queue = TranscriptionQueue(4, 1)
    worker = TranscriptionWorker(engine.transcribe, queue, clock=lambda: now_s[0])
    slow = begin(worker, engine, FINAL)
    ask(worker, "waiting")
    now_s[0] += 2.0
    assert worker.load().longest_wait_s == 2.0, "what still waits counts"
    engine.may_go_on.set()
    text_of(slow)
    worker.close()
    now_s[0] += 2.0
    assert worker.load().longest_wait_s == 2.0, "and what began since then"
    now_s[0] += 2.0
    assert worker.load().longest_wait_s == 0.0


def test_a_failure_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """What an engine says about a failure may quote what it has heard."""

    def transcribe(utterances: Sequence[Utterance]) -> Generator[None, None, list[Heard]]:
        yield
        raise ValueError("cannot read rosebud")

    worker = TranscriptionWorker(transcribe, TranscriptionQueue(max_waiting=4, max_batch=2))
    with pytest.raises(EngineError, match="ValueError"):
        ask(worker, "a").heard.result(WITHIN_S)
    worker.close()
    assert "ValueError" in caplog.text and "in transcribe" in caplog.text
    assert "rosebud" not in caplog.text
