"""In every state that can be reached something is bound to happen: a timer is armed, work is under
way, or the session waits for the user. Over seeded random conversations, step by step."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bench.random_walk import SETTINGS, Walk
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.machine import TRANSITIONS
from serve_app.conversation.states import State
from serve_app.protocol.messages import AgentAudio, Interrupt

pytestmark = pytest.mark.timeout(300)

_RESTING = {State.CLOSED, State.WAITING, State.ENDED}
"""Nothing has to happen: it is the user's move, or there is none."""
_IDLE_TIMERS = {ev.Timer.IDLE_PROMPT, ev.Timer.IDLE_CLOSE, ev.Timer.SESSION}
"""They are about the user and the session, and get no reply out of a dead end."""
_MAX_SESSION_S = 30
"""Of every fifth conversation, so that the others come to their own ends."""
_STEPS_TO_REST = 300

_WALKS = 2000

Key = tuple[str, int, int]


class Stuck(Exception):
    """Nothing is bound to happen."""


class WatchedWalk(Walk):
    """Knows what is under way. Some sessions have a limit, and some clients read slowly."""

    def __init__(self, seed: int) -> None:
        self.settings = replace(SETTINGS, max_session_s=0 if seed % 5 else _MAX_SESSION_S)
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


@dataclass
class Found:
    """What came of all walks."""

    stuck: list[str] = field(default_factory=list)
    restless: list[str] = field(default_factory=list)
    steps: set[tuple[State, Any]] = field(default_factory=set)


@pytest.fixture(scope="module")
def found() -> Found:
    found = Found()
    for seed in range(_WALKS):
        walk = WatchedWalk(seed)
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
    return found


def test_something_is_bound_to_happen(found: Found) -> None:
    assert not found.stuck


def test_a_conversation_comes_to_rest_when_nobody_speaks_any_more(found: Found) -> None:
    assert not found.restless


def test_no_line_of_the_table_is_dead(found: Found) -> None:
    """Each event that a state takes is met there by some random conversation."""
    listed = {(state, key) for state, steps in TRANSITIONS.items() for key in steps}
    assert listed == found.steps
