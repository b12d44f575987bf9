"""When each side of a call is heard."""

from itertools import pairwise

import pytest

from serve_app.records.placing import RATE_HZ, AgentPlacing, Span, place_user

FRAME = 512
FRAME_S = FRAME / RATE_HZ


def user(*at_s: float) -> list[float]:
    return [round(span.at_s, 3) for span in place_user([(at, FRAME) for at in at_s])]


def agent(*lines: tuple[float, str, object], rate_hz: int = 1000) -> list[tuple[int, float, float]]:
    """Of each span: its first sample, when it begins, and how long it lasts."""
    placing = AgentPlacing(rate_hz)
    for at_s, name, value in lines:
        placing.take({"at_s": at_s, name: value})
    return [
        (span.first, round(span.at_s, 3), round(span.count / rate_hz, 3))
        for span in placing.spans()
    ]


def says(at_s: float, token: str, seconds: float) -> tuple[float, str, object]:
    return at_s, "agent", [token, round(seconds * 1000) * 2]


# --- the user ---


def test_a_microphone_is_heard_without_gaps_whatever_the_network_does() -> None:
    times = [1 + number * FRAME_S + 0.03 * (number % 3) for number in range(20)]
    placed = user(*times)
    gaps = [later - before for before, later in pairwise(placed)]
    assert gaps == pytest.approx([FRAME_S] * 19, abs=0.001)
    assert placed[0] == pytest.approx(1 - FRAME_S, abs=0.01), "it was said before it came"


def test_what_a_stall_held_back_was_said_when_it_was_due() -> None:
    """All of it comes at 3 s."""
    held_back = [3.0] * round(2 / FRAME_S)
    before = [number * FRAME_S for number in range(1, round(1 / FRAME_S) + 1)]
    placed = user(*before, *held_back, 3.0 + FRAME_S)
    assert placed[len(before)] == pytest.approx(1.0, abs=0.05)
    assert placed[-1] == pytest.approx(3.0, abs=0.05)


def test_a_microphone_that_is_switched_off_leaves_silence() -> None:
    placed = user(FRAME_S, 2 * FRAME_S, 10.0)
    assert placed == pytest.approx([0, FRAME_S, 10 - FRAME_S], abs=0.001)


def test_what_comes_faster_than_it_can_be_said_is_not_on_top_of_itself() -> None:
    spans = place_user([(0.0, RATE_HZ)] * 5)
    assert [span.at_s for span in spans] == [0, 1, 2, 3, 4]
    assert [span.first for span in spans] == [0, 16_000, 32_000, 48_000, 64_000]


def test_nothing_was_said() -> None:
    assert place_user([]) == []


# --- the agent ---


def test_a_reply_is_played_piece_after_piece() -> None:
    """It is sent ahead."""
    pieces = [says(1.0, "a", 0.5), says(1.0, "a", 0.5), says(1.5, "a", 0.5)]
    assert agent(*pieces) == [(0, 1.0, 0.5), (500, 1.5, 0.5), (1000, 2.0, 0.5)]


def test_what_comes_late_is_played_late() -> None:
    assert agent(says(1.0, "a", 0.5), says(3.0, "a", 0.5)) == [(0, 1.0, 0.5), (500, 3.0, 0.5)]


def test_an_interrupt_cuts_what_is_played_and_drops_the_rest() -> None:
    pieces = [says(1.0, "a", 0.5), says(1.0, "a", 0.5), says(1.2, "a", 0.5)]
    found = agent(*pieces, (1.7, "interrupt", "b"), says(4.0, "b", 0.5))
    assert found == [(0, 1.0, 0.5), (500, 1.5, 0.2), (1500, 4.0, 0.5)]


def test_a_reply_right_after_an_interrupt_does_not_wait_for_the_one_that_was_dropped() -> None:
    found = agent(says(1.0, "a", 10.0), (1.5, "interrupt", "b"), says(1.6, "b", 0.5))
    assert found == [(0, 1.0, 0.5), (10_000, 1.6, 0.5)]


def test_the_end_of_the_call_cuts_too() -> None:
    assert agent(says(1.0, "a", 5.0), (2.0, "end", {"code": 1000})) == [(0, 1.0, 1.0)]


def test_what_waits_to_be_written_is_heard_when_it_is_written() -> None:
    found = agent(
        says(1.0, "a", 0.5),
        says(1.0, "a", 0.5),
        (1.1, "backlog", 1),
        says(1.2, "a", 0.5),
        (1.2, "backlog", 2),
        (5.0, "backlog", 0),
    )
    assert found == [(0, 1.0, 0.5), (500, 5.0, 0.5), (1000, 5.5, 0.5)]


def test_what_was_never_written_was_never_heard() -> None:
    found = agent(says(1.0, "a", 0.5), says(1.0, "a", 0.5), (1.0, "backlog", 1))
    assert found == [(0, 1.0, 0.5)]
    assert agent(
        says(1.0, "a", 0.5), (1.0, "backlog", 1), (9.0, "interrupt", "b"), says(9.5, "b", 0.5)
    ) == [(500, 9.5, 0.5)]


def test_the_client_says_when_it_began_to_play() -> None:
    """After 1.3 s it has played 1 s of what was sent: it began 0.3 s later."""
    pieces = [says(1.0, "a", 1.0), says(1.0, "a", 1.0)]
    found = agent(*pieces, (2.3, "played", ["a", 1000.0]))
    assert found == [(0, 1.3, 1.0), (1000, 2.3, 1.0)]


def test_the_next_reply_is_expected_to_be_as_late() -> None:
    found = agent(says(1.0, "a", 1.0), (1.8, "played", ["a", 500]), says(9.0, "b", 1.0))
    assert found == [(0, 1.3, 1.0), (1000, 9.3, 1.0)]


def test_a_client_that_stops_in_the_middle_goes_on_later() -> None:
    """What it has played stays where it was."""
    pieces = [says(1.0, "a", 1.0), says(1.0, "a", 1.0), says(1.0, "a", 1.0)]
    reports = [(1.5, "played", ["a", 400.0]), (2.6, "played", ["a", 1000.0])]
    assert agent(*pieces, *reports) == [(0, 1.1, 1.0), (1000, 2.6, 1.0), (2000, 3.6, 1.0)]


@pytest.mark.parametrize("report", [["a", 1e9], ["b", 10.0], ["a", 510.0]])
def test_nothing_is_heard_before_it_was_sent(report: list[object]) -> None:
    """Whatever a client reports; and what is off by a few milliseconds stays."""
    assert agent(says(1.0, "a", 1.0), (1.5, "played", report)) == [(0, 1.0, 1.0)]


def test_what_is_no_sound_changes_nothing() -> None:
    assert agent((0.0, "turn", [0, {}]), (0.0, "user", 512), (1.0, "played", ["a", 1.0])) == []


def test_a_span_is_what_it_says() -> None:
    assert AgentPlacing(24_000).spans() == []
    assert Span(0, 5, 1.0).count == 5
