"""What is noted of what is said, from conversations as they are."""

from typing import Any

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.settings import TurnSettings
from serve_app.protocol.messages import (
    AgentAudio,
    Caption,
    ErrorNotice,
    Interrupt,
    Metrics,
    Partial,
    Token,
    ToolCall,
    Transcript,
)
from serve_app.records.transcript import NEEDED, TranscriptNotes, is_wanted
from tests.conversation.score import Noise, Says, Score

STORY = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen."


class NotedScore(Score):
    """As the driver does it."""

    notes: TranscriptNotes
    lines: list[dict[str, Any]]

    def _handle(self, event: ev.Event) -> list[ef.Effect]:
        effects = super()._handle(event)
        self.lines += self.notes.take(self.now_s, event, effects)
        return effects


def noted(*sounds: Says | Noise, seconds: float) -> NotedScore:
    """A conversation."""
    score = NotedScore(list(sounds), TurnSettings(), answer=lambda chat: STORY, greeting=None)
    score.notes, score.lines = TranscriptNotes(), []
    score.play(seconds)
    return score


def turns(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for line in lines:
        if "turn" in line:
            number, entry = line["turn"]
            found[number] = entry
    return [found[number] for number in sorted(found)]


def test_both_sides_are_noted_with_their_times() -> None:
    greeting, user, agent = turns(noted(Says(6, 7, "Tell me a story."), seconds=20).lines)
    assert (user["role"], user["text"]) == ("user", "Tell me a story.")
    assert user["at_s"] == pytest.approx(6.0, abs=0.3)
    assert (agent["role"], agent["text"], agent["interrupted"]) == ("agent", STORY, False)
    assert 7 < agent["at_s"] < 9
    assert agent["latencies"]["endpoint_ms"] > 0
    assert greeting["role"] == "agent" and greeting["at_s"] < 3


def test_an_interrupted_reply_is_what_was_heard_of_it() -> None:
    sounds = (Says(6, 7, "Tell me a story."), Says(10, 11.5, "No, another one."))
    *_, cut, user, _ = turns(noted(*sounds, seconds=20).lines)
    assert cut["interrupted"] and STORY.startswith(cut["text"]) and cut["text"] != STORY
    assert (user["text"], user["at_s"]) == ("No, another one.", pytest.approx(10.0, abs=0.3))


def test_an_agent_that_was_stopped_for_nothing_goes_on_in_the_same_turn() -> None:
    sounds = (Says(6, 7, "Tell me a story."), Noise(9.5, 9.9))
    score = noted(*sounds, seconds=24)
    assert score.sent(Interrupt), "it was silent"
    *_, agent = turns(score.lines)
    assert (agent["role"], agent["interrupted"], agent["text"]) == ("agent", False, STORY)


def test_a_call_of_a_tool_and_an_error_are_noted() -> None:
    notes = TranscriptNotes()
    (tool,) = notes.tool(1.23456, "weather", '{"city": "Rome"}', "sunny", 120.04)
    assert tool["tool"] == [
        0,
        {
            "name": "weather",
            "arguments": '{"city": "Rome"}',
            "at_s": 1.235,
            "result": "sunny",
            "duration_ms": 120.0,
        },
    ]
    error = ef.Send(ErrorNotice(1, "llm", "it does not answer"))
    (line,) = notes.take(2.0, ev.CloseRequested(), [error])
    assert line["error"] == [0, {"stage": "llm", "message": "it does not answer", "at_s": 2.0}]


def test_a_reply_that_was_withdrawn_is_not_when_the_next_one_began() -> None:
    notes, event = TranscriptNotes(), ev.CloseRequested()
    sound = ef.Send(AgentAudio("aaaaaaaa", b"\0\0"))
    notes.take(1.0, event, [sound])
    notes.take(1.2, event, [ef.Send(Interrupt("bbbbbbbb"))])
    notes.take(5.0, event, [sound])
    (line,) = notes.take(6.0, event, [ef.Send(Transcript(2, "agent", "Hello."))])
    assert line["turn"][1]["at_s"] == 5.0


def test_a_call_of_the_clients_tool_is_noted_and_then_its_result() -> None:
    notes = TranscriptNotes()
    asked = ef.Send(ToolCall(2, "c00002-1", "hang_up", "{}"))
    (line,) = notes.take(4.0, ev.CloseRequested(), [asked])
    assert line["tool"] == [0, {"name": "hang_up", "arguments": "{}", "at_s": 4.0}]
    assert notes.take(4.1, ev.ToolAnswered("c00001-1", "?"), []) == []
    (line,) = notes.take(4.5, ev.ToolAnswered("c00002-1", "done"), [])
    assert line["tool"][0] == 0
    assert (line["tool"][1]["result"], line["tool"][1]["duration_ms"]) == ("done", 500.0)
    assert notes.take(4.6, ev.ToolAnswered("c00002-1", "again"), []) == []


def test_a_client_is_sent_only_what_it_asked_for() -> None:
    wanted = frozenset({"metrics"})
    metrics = Metrics(1, 0, 0, 0, 0)
    said = Transcript(1, "user", "Hello.")
    assert is_wanted(metrics, wanted) and not is_wanted(said, wanted)
    for always in (Token("a" * 8), Caption(1, "x"), Partial(1, "x")):
        assert is_wanted(always, frozenset()), "the conversation has asked for it"
    assert "transcript" in NEEDED


def test_a_call_without_end_does_not_fill_the_disk() -> None:
    notes = TranscriptNotes()
    said = [ef.Send(Transcript(1, "user", "a"))]
    lines = [line for _ in range(20_010) for line in notes.take(1.0, ev.CloseRequested(), said)]
    assert len(lines) == 20_000
