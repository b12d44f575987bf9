"""The arithmetic and the tables of the latency and the peers' benchmark."""

import pytest

from bench.exchanges import Exchange
from bench.figures import summary, table
from bench.peer_figures import OURS, Row, ratios, row_of
from bench.peer_figures import table as peers_table
from bench.phrases import Phrase, paused, whole
from bench.processes import Load
from bench.user import BargeIn, Parts, Turn
from bench.visits import Heard

PARTS = Parts(300.0, 20.0, 10.0, 30.0)
PAUSED = paused(0, 0)
WHOLE = whole("go_forward")


def said(
    phrase: Phrase,
    first_ms: float | None,
    over: bool = False,
    stopped: bool = False,
    requests: int = 1,
    messages: int = 1,
) -> Exchange:
    return Exchange(phrase, Turn(first_ms, PARTS, over, stopped, 0.1, 0), requests, messages)


HEARD = Heard(
    [
        said(WHOLE, 400.0),
        said(WHOLE, 600.0),
        said(PAUSED, 900.0, requests=2),
        said(PAUSED, 700.0, over=True, stopped=True, requests=2),
        said(PAUSED, 10.0, over=True, requests=3, messages=2),
        said(PAUSED, None, requests=0, messages=0),
    ],
    [BargeIn(400.0, 30.0, 200.0), BargeIn(500.0, 40.0, 300.0), None],
    0,
)


def test_the_two_kinds_are_counted_apart() -> None:
    figures = summary(1, HEARD)
    assert (figures.complete.turns, figures.paused.turns) == (2, 4)
    assert figures.complete.first_audio.p50_ms == 500
    assert figures.complete.spoken_over == 0 and figures.complete.requests == 1
    assert figures.server.other_ms == pytest.approx(140)


def test_a_turn_that_was_spoken_over_counts_its_delay_only_if_that_was_withdrawn() -> None:
    paused = summary(1, HEARD).paused
    assert (paused.spoken_over, paused.withdrawn, paused.unanswered) == (2, 1, 1)
    assert paused.first_audio.p50_ms == 800 and paused.first_audio.max_ms == 900
    assert paused.requests == 1.75 and paused.one_message == 0.5


def test_barge_ins_and_failures() -> None:
    figures = summary(1, HEARD)
    assert figures.barge_ins.silent.p50_ms == 250 and figures.barge_ins.interrupt.p50_ms == 450
    assert figures.barge_ins.missed == 1 and figures.has_failures
    answered = Heard(HEARD.exchanges[:3], HEARD.barge_ins[:2], 0)
    assert not summary(1, answered).has_failures


def row(server: str, heard: Heard = HEARD, cores: float = 0.1) -> Row:
    load = Load({"ingress": cores, "stt": cores, "clients": 9.0, "providers": 9.0}, 0.0)
    return row_of(server, 2, heard, load)


def test_cpu_is_that_of_the_server_for_a_session_and_a_minute() -> None:
    assert row(OURS).cpu_s == pytest.approx(6.0)


def test_ratios_are_ours_to_theirs() -> None:
    slower = Heard([said(WHOLE, 1000.0), said(PAUSED, 1600.0)], [BargeIn(500.0, 0.0, 500.0)], 0)
    lines = list(ratios([row(OURS), row("silence", slower, cores=0.2), row("smart", HEARD)]))
    assert lines[0].split() == ["silence", "2", "smart", "2"]
    assert lines[1].split()[-2:] == ["0.50", "1.00"]
    assert lines[3].split()[-2:] == ["0.50", "1.00"]
    assert lines[6].split()[-2:] == ["0.50", "1.00"]
    assert lines[-1].split()[-2:] == ["0.50", "1.00"]


def test_nothing_is_compared_with_what_was_not_measured() -> None:
    assert not list(ratios([row(OURS)])) and not list(ratios([row("smart")]))
    without = Heard([], [], 0)
    lines = list(ratios([row(OURS), row("smart", without)]))
    assert lines[1].split()[-1] == "-"


def test_the_columns_stand_below_their_heads() -> None:
    lines = list(table([summary(8, HEARD)]))
    assert [len(line) for line in lines[1:4]] == [len(lines[1])] * 3
    servers = lines.index("sessions endpoint   stt   llm   tts  other")
    assert len(lines[servers]) == len(lines[servers + 1])
    assert len(lines[-1]) == len(lines[-2])
    peers = list(peers_table([row(OURS), row("smart")]))
    assert [len(line) for line in peers[1:6]] == [len(peers[1])] * 5
    assert len(peers[8]) == len(peers[9]) == len(peers[10])
