"""In every state that can be reached something is bound to happen: a timer is armed, work is under
way, or the session waits for the user. Over seeded random conversations, step by step."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bench.random_walk import SETTINGS, Walk
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.calls import MOST_ROUNDS, Call, Step
from serve_app.conversation.machine import TRANSITIONS
from serve_app.conversation.states import State
from serve_app.conversation.tool_messages import rounds
from serve_app.protocol.messages import AgentAudio, Interrupt, ToolCall
from serve_app.protocol.tools import Tool
from tests.conversation.tool_talk import valid

pytestmark = pytest.mark.timeout(300)

_RESTING = {State.CLOSED, State.WAITING, State.ENDED}
"""Nothing has to happen: it is the user's move, or there is none."""
_IDLE_TIMERS = {ev.Timer.IDLE_PROMPT, ev.Timer.IDLE_CLOSE, ev.Timer.SESSION}
"""They are about the user and the session, and get no reply out of a dead end."""
_MAX_SESSION_S = 30
"""Of every fifth conversation, so that the others come to their own ends."""
_STEPS_TO_REST = 300

_WALKS = 2000
_TOOL_WALKS = 400
TOOL = Tool("look", "Looks.", '{"type": "object"}')

Key = tuple[str, int, int]


class Stuck(Exception):
    """Nothing is bound to happen."""


class WatchedWalk(Walk):
    """Knows what is under way. Some sessions have a limit, and some clients read slowly."""

    def __init__(self, seed: int) -> None:
        max_session_s = 0 if seed % 5 else _MAX_SESSION_S
        self.settings = replace(SETTINGS, max_session_s=max_session_s, tool_timeout_ms=1000)
        self.steps_taken: set[tuple[State, Any]] = set()
        self._is_slow = seed % 3 == 0
        self._under_way: dict[Key, ef.Effect] = {}
        self._unwritten = self._told = 0
        super().__init__(seed)

    def _begin(self) -> None:
        super()._begin()
        self._under_way = {}
        self._unwritten = self._told = 0

    def _steps(self) -> list[Callable[[], None]]:
        slow = [self._write] * 8 if self._is_slow else []
        return [*super()._steps(), *slow, lambda: self._do(ev.AudioIsWrong("int16"))]

    def _write(self) -> None:
        """A message of audio leaves, as in `ClientSocket`."""
        if self._unwritten:
            self._tell_backlog()
            self._unwritten -= 1
            self._tell_backlog()
            self._check(ev.Backlog(self._told))

    def _tell_backlog(self) -> None:
        if self._told != self._unwritten:
            self._told = self._unwritten
            self._do_one(ev.Backlog(self._told))

    def _do(self, event: ev.Event) -> None:
        self._tell_backlog()
        self._do_one(event)
        self._check(event)

    def _do_one(self, event: ev.Event) -> None:
        key = event.timer if isinstance(event, ev.Expired) else type(event)
        if key in TRANSITIONS[self.state]:
            self.steps_taken.add((self.state, key))
        self._has_come(event)
        super()._do(event)

    def _check(self, event: ev.Event) -> None:
        if not self.is_bound:
            raise Stuck(f"step {len(self.log)}: {self.state} after {event}")

    @property
    def state(self) -> State:
        return self._machine.state

    @property
    def is_bound(self) -> bool:
        """Whether something is bound to happen."""
        is_timed = bool(set(self._timers) - _IDLE_TIMERS)
        return self.state in _RESTING or is_timed or bool(self._under_way or self._unwritten)

    def come_to_rest(self) -> None:
        """The user is silent, whatever was asked for is answered, and time passes."""
        for _ in range(_STEPS_TO_REST):
            if self.state in _RESTING:
                return
            if self._unwritten:
                self._write()
            elif self._under_way:
                self._finish(next(iter(self._under_way.values())))
            else:
                timers = {t: due for t, due in self._timers.items() if t not in _IDLE_TIMERS}
                timer, (at_s, expired) = min(timers.items(), key=lambda due: due[1][0])
                del self._timers[timer]
                self._now_s = max(self._now_s, at_s)
                self._do(expired)
        raise Stuck(f"still {self.state} after {_STEPS_TO_REST} steps of silence")

    def _finish(self, effect: Any) -> None:
        if isinstance(effect, ef.Transcribe):
            self._do(ev.Transcribed(effect.generation, effect.segment, ""))
        else:
            self._do(ev.ReplyEnded(effect.generation, effect.reply))

    def _has_come(self, event: ev.Event) -> None:
        match event:
            case ev.Transcribed(generation, segment) | ev.TranscriptionFailed(generation, segment):
                self._under_way.pop(("segment", generation, segment), None)
            case ev.ReplyEnded() | ev.ReplyFailed() | ev.DraftDeclined():
                self._under_way.pop(("reply", event.generation, event.reply), None)

    def _follow(self, effect: Any) -> None:
        super()._follow(effect)
        match effect:
            case ef.Send(AgentAudio()):
                self._unwritten += self._is_slow
            case ef.Send(Interrupt()):
                self._unwritten = 0
            case ef.Transcribe(generation, segment):
                self._under_way["segment", generation, segment] = effect
            case ef.Reply(generation, reply) | ef.Say(generation, reply):
                self._under_way["reply", generation, reply] = effect
            case ef.CancelSegment(generation, segment):
                self._under_way.pop(("segment", generation, segment), None)
            case ef.CancelReply(generation, reply):
                self._under_way.pop(("reply", generation, reply), None)
            case ef.Cancel(generation):
                dead = [key for key in self._under_way if key[1] == generation]
                for key in dead:
                    del self._under_way[key]


class ToolWalk(WatchedWalk):
    """The client has tools, and answers late, twice, or never. Some press a button to talk, and
    some ask for each reply."""

    def __init__(self, seed: int) -> None:
        self._turn = {"detects_turns": seed % 4 != 0, "answers_turns": seed % 3 != 0}
        self.called: list[str] = []
        self.goes_on = 0
        super().__init__(seed)

    def _steps(self) -> list[Callable[[], None]]:
        push = [self._push, self._push, lambda: self._do(ev.TurnCleared())]
        return [*super()._steps(), *[self._call] * 20, *[self._result] * 8, self._request, *push]

    def _push(self) -> None:
        self._do(ev.TurnCommitted())

    def _call(self) -> None:
        if asked := self._recent((ef.Reply,)):
            results = self._random.choice([(None,), (None, None), ("done", None)])
            ids = [self._random.choice(["", "a", "b", f"id{len(self.called)}"]) for _ in results]
            step = Step(tuple(Call(id_, "look", "{}") for id_ in ids), results)
            where = (asked.generation, asked.reply)
            self._do(
                ev.DraftDeclined(*where) if asked.is_draft else ev.ToolsCalled(*where, (step,))
            )
            self._do(ev.ReplyEnded(*where))

    def _result(self) -> None:
        if self.called:
            self._do(ev.ToolAnswered(self._random.choice(self.called[-3:]), "a cup"))
            if self._random.random() < 0.7:
                self._request()

    def _request(self) -> None:
        self._do(ev.ReplyRequested())

    def _do_one(self, event: ev.Event) -> None:
        if isinstance(event, ev.Opened):
            event = replace(event, tools=(TOOL,), turn={**self._turn, **event.turn})
        super()._do_one(event)

    def _follow(self, effect: Any) -> None:
        super()._follow(effect)
        match effect:
            case ef.Send(ToolCall(_, call_id)):
                self.called.append(call_id)
            case ef.Record(history):
                valid(history)
            case ef.Reply(chat=chat, offer=offer):
                valid(chat)
                assert chat[-1].role in ("user", "tool"), "nothing awaits a reply"
                assert offer.may_call == (rounds(chat) < MOST_ROUNDS)
                self.goes_on += chat[-1].role == "tool"


@dataclass
class Found:
    """What came of all walks."""

    stuck: list[str] = field(default_factory=list)
    restless: list[str] = field(default_factory=list)
    steps: set[tuple[State, Any]] = field(default_factory=set)
    called: int = 0
    """Tools of the client's."""
    went_on: int = 0
    """Replies to their results."""


@pytest.fixture(scope="module")
def found() -> Found:
    found = Found()
    for seed in range(_WALKS + _TOOL_WALKS):
        walk = WatchedWalk(seed) if seed < _WALKS else ToolWalk(seed)
        try:
            walk.run(closes=False)
        except Stuck as stuck:
            found.stuck.append(f"conversation {seed}, {stuck}")
            continue
        try:
            walk.come_to_rest()
        except Stuck as stuck:
            found.restless.append(f"conversation {seed}, {stuck}")
        found.steps |= walk.steps_taken
        if isinstance(walk, ToolWalk):
            found.called += len(walk.called)
            found.went_on += walk.goes_on
    return found


def test_something_is_bound_to_happen(found: Found) -> None:
    assert not found.stuck


def test_a_conversation_comes_to_rest_when_nobody_speaks_any_more(found: Found) -> None:
    assert not found.restless


def test_no_line_of_the_table_is_dead(found: Found) -> None:
    """Each event that a state takes is met there by some random conversation."""
    listed = {(state, key) for state, steps in TRANSITIONS.items() for key in steps}
    assert listed == found.steps


def test_the_walks_with_tools_are_about_tools(found: Found) -> None:
    """In each of them, each chat was looked at: a result for each call."""
    assert found.called > _TOOL_WALKS and found.went_on > _TOOL_WALKS / 4
