"""The longest that a session may last: its client is told in time, a turn may be finished."""

from dataclasses import replace

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.history import Record
from serve_app.conversation.settings import TurnSettings
from serve_app.protocol.close_codes import may_come_back
from serve_app.protocol.messages import GoAway, Transcript
from tests.conversation.score import Says, Score

LIMIT_S = 120
SETTINGS = TurnSettings(max_session_s=LIMIT_S)
STORY = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."


def closing(score: Score) -> tuple[float, int]:
    ((at_s, effect),) = [(s, e) for s, e in score.effects if isinstance(e, ef.CloseSocket)]
    return at_s, effect.code


def told(score: Score) -> list[tuple[float, GoAway]]:
    return score.sent(GoAway)


def resumed(record: Record, until_s: float) -> Score:
    return Score(settings=SETTINGS, is_resumable=True, record=record).play(until_s)


@pytest.mark.parametrize("is_resumable", [False, True])
def test_a_session_in_which_nothing_is_going_on_ends_in_its_last_seconds(
    is_resumable: bool,
) -> None:
    score = Score(settings=SETTINGS, is_resumable=is_resumable).play(LIMIT_S)
    assert told(score) == [
        (LIMIT_S - 60, GoAway(60_000, final=True)),
        (LIMIT_S - 10, GoAway(10_000, final=True)),
    ]
    assert closing(score) == (LIMIT_S - 10, 4411)


def test_a_session_may_last_for_ever_if_nothing_else_is_configured() -> None:
    score = Score().play(LIMIT_S)
    assert not score.asked(ef.CloseSocket) and not told(score)


def test_the_turn_that_is_going_on_is_finished_and_heard() -> None:
    question = Says(LIMIT_S - 11.0, LIMIT_S - 9.8, "Count.")
    score = Score([question], SETTINGS, answer=lambda chat: STORY).play(LIMIT_S)
    assert score.talk == ["user: Count.", f"agent: {STORY}"]
    at_s, code = closing(score)
    assert LIMIT_S - 6 < at_s < LIMIT_S and code == 4411


def test_a_turn_that_does_not_end_is_cut_off() -> None:
    question = Says(LIMIT_S - 11.0, LIMIT_S - 9.8, "Count.")
    score = Score([question], SETTINGS, answer=lambda chat: STORY * 4).play(LIMIT_S + 1)
    assert closing(score) == (pytest.approx(LIMIT_S), 4411)
    (_, heard), *_ = [m for m in score.sent(Transcript) if m[1].role == "agent"]
    assert (STORY * 4).startswith(heard.text) and len(heard.text) > len(STORY)


def test_it_ends_although_the_server_drains() -> None:
    cues = [(LIMIT_S - 20.0, ev.Draining(900.0))]
    score = Score(settings=SETTINGS, cues=cues).play(LIMIT_S)
    assert closing(score) == (LIMIT_S - 10, 4411)


# --- over several sockets ---


@pytest.mark.parametrize("gone", [ev.Disconnected(), ev.Draining(60.0)])
def test_the_time_goes_on_at_the_next_socket(gone: ev.Event) -> None:
    """Also of a socket on which nothing was said."""
    first = Score(settings=SETTINGS, is_resumable=True, cues=[(50.0, gone)]).play(51.0)
    assert may_come_back(closing(first)[1])
    second = resumed(first.last_record, LIMIT_S)
    assert [at_s for at_s, _ in told(second)] == pytest.approx([10.0, 60.0])
    assert closing(second) == (pytest.approx(60.0), 4411)


def test_a_session_cannot_be_resumed_for_ever() -> None:
    record = (
        Score(settings=SETTINGS, is_resumable=True, cues=[(20.0, ev.Disconnected())])
        .play(21.0)
        .last_record
    )
    sockets = 1
    while sockets < 20:
        score = Score(
            settings=SETTINGS, is_resumable=True, record=record, cues=[(20.0, ev.Disconnected())]
        ).play(21.0)
        sockets += 1
        if closing(score)[1] == 4411:
            break
        record = score.last_record
    assert sockets == 6


def test_a_client_that_comes_back_too_late_is_told_and_closed_at_once() -> None:
    first = Score(settings=SETTINGS, is_resumable=True, cues=[(5.0, ev.Disconnected())]).play(6.0)
    late = replace(first.last_record, lasted_s=LIMIT_S + 1.0)
    assert closing(resumed(late, 1.0)) == (pytest.approx(0.001), 4411)
