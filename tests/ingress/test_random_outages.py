"""Random conversations in which every call may fail come to rest, and nothing is lost silently.
`python -m bench.random_outages` runs 10,000 of them."""

import asyncio
import os
import subprocess
import sys

import pytest

from bench.random_outages import Conversation, Outcome, outcomes
from bench.virtual_time import Wedged, run
from serve_app.stt.job import Heard

_COUNT = 40

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def found() -> list[Outcome]:
    return list(outcomes(range(_COUNT)))


def test_nothing_is_lost_doubled_or_stuck_in_outages(found: list[Outcome]) -> None:
    assert not [outcome for outcome in found if outcome.problems]


def test_the_outages_are_many(found: list[Outcome]) -> None:
    """Or the other test would say nothing."""
    assert sum(outcome.mishaps for outcome in found) > 20 * _COUNT
    assert sum(outcome.said for outcome in found) > 10 * _COUNT
    assert sum(outcome.resumes for outcome in found) > _COUNT // 4
    assert any(outcome.reported for outcome in found), "an outage may cost words, but says so"


def test_a_conversation_is_a_function_of_its_seed(found: list[Outcome]) -> None:
    """After others in this process, and alone in a process with other hashes."""
    assert len({outcome.trace for outcome in found}) == _COUNT, "and of nothing else"
    for seed in (3, _COUNT - 1):
        (again,) = outcomes(range(seed, seed + 1))
        assert again == found[seed]
        assert _trace_in_another_process(seed) == found[seed].trace


def _trace_in_another_process(seed: int) -> str:
    command = [sys.executable, "-m", "bench.random_outages", "--trace", "--first", str(seed)]
    environment = os.environ | {"PYTHONHASHSEED": "4711"}
    ran = subprocess.run(
        [*command, "--count", "1"], env=environment, check=True, capture_output=True, text=True
    )
    return ran.stdout.splitlines()[0].split()[-1]


def test_a_word_that_is_lost_and_one_that_is_doubled_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def mishear(transcriber: object, request: object) -> Heard:
        return Heard("word0")

    monkeypatch.setattr("bench.virtual_replicas.Transcriber._transcribe", mishear)
    (outcome,) = outcomes(range(1))
    assert any("gaps" in problem for problem in outcome.problems), outcome
    assert any("twice" in problem for problem in outcome.problems), outcome


def test_a_conversation_that_never_rests_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conversation, "_is_at_rest", lambda self: False)
    (outcome,) = outcomes(range(1))
    assert any("still" in problem for problem in outcome.problems), outcome


def test_a_loop_in_which_nothing_can_happen_says_so() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Wedged):
        run(wait())
