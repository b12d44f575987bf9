"""What `make chaos` says of what is left, where that cannot be counted."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.chaos import NOT_ANSWERED, Left, entries, told
from bench.chaos_faults import Result
from tests.serve.conftest import Server


@pytest.fixture
def away() -> Iterator[Server]:
    """A server whose session actors cannot be asked."""
    with subprocess.Popen([sys.executable, "-c", ""], text=True) as process:
        yield Server(process, 0, lines=["Ray is at nowhere, logs are in /tmp"])


def test_entries_that_nobody_tells_are_not_leftovers(away: Server) -> None:
    left = entries(away)
    assert left.counts == {NOT_ANSWERED: 1}
    assert left.reason == "AssertionError: ValueError: Invalid address format: nowhere"


def test_the_reason_is_told_in_one_line() -> None:
    result = Result("a fault", turns=1)
    line = told(result, Left({"sessions": 0, NOT_ANSWERED: 1}, "TimeoutExpired: 60 seconds"))
    assert line == (
        "  a fault: left {'sessions': 0, 'entries not answered': 1}; TimeoutExpired: 60 seconds"
    )
    assert (result.leftovers, result.not_answered) == (0, 1)
    assert not result.is_good, "there may be entries"


def test_what_is_left_is_told_and_nothing_is_not() -> None:
    result = Result("a fault", turns=1)
    assert told(result, Left({"sessions": 0, "entries": 0})) == ""
    assert result.is_good
    assert told(result, Left({"sessions": 1, "entries": 2})) == (
        "  a fault: left {'sessions': 1, 'entries': 2}"
    )
    assert (result.leftovers, result.not_answered) == (3, 0)
