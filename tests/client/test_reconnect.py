from itertools import pairwise

import pytest

from serve_app.client.reconnect import Backoff, may_retry
from serve_app.ingress.tokens import Tokens


@pytest.mark.parametrize("code", [None, 1001, 1006, 1011, 1012, 1013, 4503, 4508])
def test_these_are_tried_again(code: int | None) -> None:
    assert may_retry(code)


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1009, 4400, 4404, 4408, 4409, 4410])
def test_these_are_the_last_word(code: int) -> None:
    assert not may_retry(code)


def test_the_pauses_grow_to_a_bound_and_differ() -> None:
    clients = [Backoff(60.0) for _ in range(50)]
    rounds = [[backoff.next_s() or 0.0 for backoff in clients] for _ in range(12)]
    means = [sum(row) / len(row) for row in rounds]
    assert all(later > earlier for earlier, later in pairwise(means[:4]))
    assert max(max(row) for row in rounds) <= 5.0
    assert len(set(rounds[0])) == 50


def test_after_the_window_it_is_given_up() -> None:
    assert Backoff(window_s=-1.0).next_s() is None


def test_no_token_comes_twice_over_many_resumes() -> None:
    found: list[str] = []
    for epoch in range(1, 20):
        tokens = Tokens()
        tokens.epoch = epoch
        found += [tokens() for _ in range(500)]
    assert len(set(found)) == len(found)
    assert {len(token) for token in found} == {8} and all(token.isascii() for token in found)
