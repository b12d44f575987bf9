"""Which requests to the LLM belong to which turn, and what a phrase became."""

from bench.exchanges import Exchange, exchanges
from bench.phrases import Phrase, whole
from bench.providers import Asked
from bench.user import Turn

PROMPT = "This is call 1."
PHRASE = whole("go_forward")


def turn(began_s: float = 0.0, over: bool = False, stopped: bool = False) -> Turn:
    return Turn(600.0, None, over, stopped, 0.0, 0, began_s)


def asked(at_s: float, *users: str, prompt: str = PROMPT) -> Asked:
    return Asked(prompt, at_s, users)


def found(turns: list[Turn], requests: list[Asked]) -> list[tuple[int, int]]:
    said: list[tuple[Phrase, Turn]] = [(PHRASE, each) for each in turns]
    return [(each.requests, each.messages) for each in exchanges(said, requests, PROMPT)]


def test_requests_are_those_of_the_call_from_one_turn_to_the_next() -> None:
    requests = [
        asked(0.5),  # the greeting
        asked(1.2, "a", prompt="This is call 2."),
        asked(1.5, "a"),
        asked(2.5, "a", "b"),
        asked(2.6, "a", "b and c"),
    ]
    assert found([turn(1.0), turn(2.0)], requests) == [(1, 1), (2, 1)]


def test_a_phrase_that_is_answered_twice_is_two_messages() -> None:
    requests = [asked(1.1, "a"), asked(2.1, "a", "b"), asked(2.4, "a", "b", "c")]
    assert found([turn(1.0), turn(2.0)], requests) == [(1, 1), (2, 2)]


def test_a_message_that_only_the_greeting_had_is_not_counted() -> None:
    assert found([turn(1.0)], [asked(0.5, "(hello)"), asked(1.5, "a")]) == [(1, 1)]
    assert found([turn(1.0)], [asked(0.5, "(hello)"), asked(1.5, "(hello)", "a")]) == [(1, 1)]


def test_a_turn_that_nobody_answered_has_no_message() -> None:
    assert found([turn(1.0), turn(2.0)], [asked(2.5, "a")]) == [(0, 0), (1, 1)]


def test_withdrawn_is_what_was_stopped_and_left_no_trace() -> None:
    def exchange(over: bool, stopped: bool, messages: int) -> Exchange:
        return Exchange(PHRASE, turn(over=over, stopped=stopped), 2, messages)

    assert exchange(True, True, 1).is_withdrawn
    assert not exchange(True, True, 2).is_withdrawn
    assert not exchange(True, False, 1).is_withdrawn
    assert not exchange(False, False, 1).is_withdrawn
    assert exchange(True, True, 1).delay_ms == 600.0
    assert exchange(True, True, 2).delay_ms is None
    assert exchange(False, False, 2).delay_ms == 600.0
