"""The specification of a conversation.

`Conversation.handle(event, now_s)` is the only way in, and returns what to do. There is no clock,
no randomness and no I/O here: the time is handed in, tokens come from a factory, and waiting is an
effect. So a conversation is tested in no time and replayed bit for bit.

The table at the end says which events each state takes, who handles them, and which states may
follow. A handler returns the state that it leads to. docs/turn-taking.md has a drawing of it.

A user turn and the replies to it share a number, the generation. An interrupt starts a new one, and
what a dead generation still delivers is dropped at the door. So audio can only be sent under the
token of the reply that it belongs to.

    events ──▶ machine ──▶ opening       begins and ends the conversation
                           listening     follows the user's turn, and drafts the reply
                           transcribing  ends the turn and has it answered
                           replying      gives the reply
                           calling       has the client run tools
                           push_to_talk  takes what the client calls a turn
                           barge_in      both want the floor
                              └──▶ floor ──▶ effects
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from serve_app.conversation import (
    barge_in,
    calling,
    listening,
    opening,
    push_to_talk,
    replying,
    transcribing,
)
from serve_app.conversation import events as ev
from serve_app.conversation.effects import Effect
from serve_app.conversation.floor import Floor
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.states import State


class Conversation:
    """One session on one socket, from `open` to `close`."""

    def __init__(self, settings: TurnSettings, new_token: Callable[[], str]) -> None:
        self._floor = Floor(settings, new_token)

    @property
    def state(self) -> State:
        return self._floor.state

    @property
    def generation(self) -> int:
        """Number of the current turn; work for any other turn is dead."""
        return self._floor.generation

    def handle(self, event: ev.Event, now_s: float) -> list[Effect]:
        """Takes the next event and returns what to do, in order. `now_s` never decreases."""
        floor = self._floor
        floor.now_s = now_s
        key = event.timer if isinstance(event, ev.Expired) else type(event)
        step = TRANSITIONS[floor.state].get(key)
        if step is None or self._is_dead(event):
            return []
        before = floor.state
        after = step.handle(floor, event) or before
        assert after in step.targets, f"{key}: {before} to {after}"
        floor.state = after
        if after is not State.ENDED:
            floor.tell_state(before, after)
        return floor.take_effects()

    def _is_dead(self, event: ev.Event) -> bool:
        if isinstance(event, ev.Expired) and event.timer in _OF_NO_TURN:
            return False
        if isinstance(event, ev.OfTurn) and event.generation != self._floor.generation:
            return True
        reply = self._floor.agent.reply
        return isinstance(event, ev.OfReply) and event.reply != (reply.number if reply else 0)


_OF_NO_TURN: Final = frozenset({ev.Timer.SESSION, ev.Timer.TOOLS})
"""Timers that go on from turn to turn."""
_Handler = Callable[[Floor, Any], State | None]
"""Returns the state that follows; None is the same as before."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a state does about an event."""

    handle: _Handler
    targets: frozenset[State]
    """The states that may follow; the state itself where it may stay."""


_Steps = dict[type | ev.Timer, Callable[[State], Step]]
"""Steps that do not know yet to which state they belong."""


def _leads(handler: _Handler, *targets: State) -> Callable[[State], Step]:
    """Always to another state."""
    return lambda state: Step(handler, frozenset(targets))


def _may_lead(handler: _Handler, *targets: State) -> Callable[[State], Step]:
    """To another state, or not."""
    return lambda state: Step(handler, frozenset({state, *targets}))


def _stays(handler: _Handler) -> Callable[[State], Step]:
    """Never to another state."""
    return lambda state: Step(handler, frozenset({state}))


_WAITING, _LISTENING, _TRANSCRIBING = State.WAITING, State.LISTENING, State.TRANSCRIBING
_PREPARING, _SPEAKING, _HELD, _ENDED = State.PREPARING, State.SPEAKING, State.HELD, State.ENDED

_IDLE = (_WAITING, _PREPARING, _ENDED)
"""Nobody has the floor, or the agent again, which was asked to go on; a draining server ends
there."""
_AFTER_TURN = (_PREPARING, _SPEAKING, *_IDLE)
"""A draft that becomes the reply, or a reply that is repeated, may have audio already."""
_AFTER_REPLY = (_LISTENING, *_IDLE)
"""The user may have spoken meanwhile."""

_ALWAYS: _Steps = {
    ev.AudioReceived: _stays(listening.receive),
    ev.AudioIsWrong: _stays(listening.audio_is_wrong),
    ev.TurnCleared: _stays(push_to_talk.clear),
    ev.ToolAnswered: _stays(calling.take_result),
    ev.ReplyRequested: _stays(calling.ask_for_reply),
    ev.Timer.TOOLS: _stays(calling.tools_are_late),
    ev.CloseRequested: _leads(opening.close, _ENDED),
    ev.Disconnected: _leads(opening.lose_client, _ENDED),
    ev.Draining: _stays(opening.drain),
    ev.Timer.SESSION: _may_lead(opening.time_runs_out, _ENDED),
}
_WHILE_DRAFTING: _Steps = {
    ev.ReplyBegan: _stays(replying.reply_began),
    ev.ReplyAudio: _stays(replying.collect),
    ev.ReplyEnded: _stays(replying.draft_ended),
    ev.ReplyFailed: _stays(listening.draft_is_off),
    ev.DraftDeclined: _stays(listening.draft_is_off),
}
_WHILE_REPLYING: _Steps = {
    **_ALWAYS,
    ev.ReplyBegan: _stays(replying.reply_began),
    ev.ToolsCalled: _stays(calling.tools_called),
    ev.DraftDeclined: _stays(replying.declined_late),
    ev.TextReceived: _may_lead(barge_in.type_over, _PREPARING),
    ev.TurnCommitted: _may_lead(push_to_talk.commit, _TRANSCRIBING),
    ev.InterruptRequested: _leads(barge_in.interrupt_on_request, *_IDLE),
    ev.Timer.IDLE_CLOSE: _leads(opening.idle_much_too_long, _ENDED),
}
_WHILE_HEARD: _Steps = {
    **_WHILE_REPLYING,
    ev.TextReceived: _may_lead(barge_in.type_over, _PREPARING, _LISTENING),
    ev.InterruptRequested: _leads(barge_in.interrupt_on_request, *_AFTER_REPLY),
    ev.ReplyAudio: _stays(replying.reply_audio),
    ev.ReplyEnded: _may_lead(replying.reply_ended, *_AFTER_REPLY),
    ev.ReplyFailed: _may_lead(replying.reply_failed, *_AFTER_REPLY),
    ev.PlaybackWaiting: _may_lead(replying.playback_waiting, *_AFTER_REPLY),
    ev.Played: _may_lead(replying.played, *_AFTER_REPLY),
    ev.Backlog: _stays(replying.backlog),
    ev.Timer.PLAYBACK: _may_lead(replying.playback_is_over, *_AFTER_REPLY),
}

_TABLE: dict[State, _Steps] = {
    State.CLOSED: {
        ev.Opened: _leads(opening.begin, _PREPARING, *_IDLE),
        ev.CloseRequested: _leads(opening.close, _ENDED),
        ev.Disconnected: _leads(opening.lose_client, _ENDED),
        ev.Draining: _leads(opening.drain_before_open, _ENDED),
        ev.Timer.OPEN: _leads(opening.open_is_late, _ENDED),
    },
    State.WAITING: {
        **_ALWAYS,
        ev.Draining: _may_lead(opening.drain_while_waiting, _ENDED),
        ev.Timer.SESSION: _may_lead(opening.time_runs_out_while_waiting, _ENDED),
        ev.VoiceActivity: _may_lead(listening.voice_while_waiting, _LISTENING),
        ev.TextReceived: _may_lead(listening.take_text, _PREPARING),
        ev.TurnCommitted: _may_lead(push_to_talk.commit, _TRANSCRIBING),
        ev.ToolAnswered: _may_lead(calling.take_result, _PREPARING, _ENDED),
        ev.ReplyRequested: _may_lead(calling.ask_while_waiting, _PREPARING),
        ev.Timer.TOOLS: _may_lead(calling.tools_are_late_while_waiting, _PREPARING, _ENDED),
        ev.Timer.IDLE_PROMPT: _leads(opening.idle_too_long, _PREPARING),
        ev.Timer.IDLE_CLOSE: _leads(opening.idle_much_too_long, _ENDED),
    },
    State.LISTENING: {
        **_ALWAYS,
        **_WHILE_DRAFTING,
        ev.Disconnected: _leads(opening.lose_speaker, _TRANSCRIBING, _ENDED),
        ev.VoiceActivity: _may_lead(listening.voice_while_listening, _TRANSCRIBING, *_AFTER_TURN),
        ev.TurnJudged: _stays(listening.turn_judged),
        ev.PartTranscribed: _stays(listening.part_transcribed),
        ev.Transcribed: _stays(listening.transcribed_early),
        ev.TranscriptionFailed: _stays(listening.failed_early),
        ev.TextReceived: _stays(listening.type_along),
        ev.Timer.STALL: _may_lead(listening.audio_may_have_stalled, _TRANSCRIBING, *_AFTER_TURN),
    },
    State.TRANSCRIBING: {
        **_ALWAYS,
        **_WHILE_DRAFTING,
        ev.Disconnected: _stays(opening.lose_client_after_turn),
        ev.VoiceActivity: _may_lead(transcribing.voice_while_transcribing, _LISTENING),
        ev.TurnCommitted: _stays(push_to_talk.commit_more),
        ev.Transcribed: _may_lead(transcribing.transcribed, *_AFTER_TURN),
        ev.TranscriptionFailed: _may_lead(transcribing.transcription_failed, *_AFTER_TURN),
        ev.TextReceived: _stays(listening.type_along),
        ev.Timer.TRANSCRIPT: _leads(transcribing.transcript_is_late, *_AFTER_TURN),
    },
    State.PREPARING: {
        **_WHILE_REPLYING,
        ev.VoiceActivity: _may_lead(barge_in.voice_while_preparing, _LISTENING),
        ev.ReplyAudio: _may_lead(replying.reply_audio, _SPEAKING),
        ev.ReplyEnded: _may_lead(replying.reply_ended, *_IDLE),
        ev.ReplyFailed: _may_lead(replying.reply_failed, *_IDLE),
    },
    State.SPEAKING: {
        **_WHILE_HEARD,
        ev.VoiceActivity: _may_lead(barge_in.voice_while_speaking, _HELD, _LISTENING),
        ev.Transcribed: _may_lead(barge_in.overlap_transcribed, _LISTENING),
        ev.TranscriptionFailed: _may_lead(barge_in.overlap_failed, _LISTENING),
        ev.Timer.OUTPUT: _stays(replying.output_is_due),
    },
    State.HELD: {
        **_WHILE_HEARD,
        ev.VoiceActivity: _may_lead(barge_in.voice_while_held, _SPEAKING, *_AFTER_REPLY),
        ev.Transcribed: _may_lead(barge_in.overlap_transcribed, _SPEAKING, *_AFTER_REPLY),
        ev.TranscriptionFailed: _may_lead(barge_in.overlap_failed, _SPEAKING, *_AFTER_REPLY),
        ev.Timer.HOLD: _leads(barge_in.hold_is_over, _SPEAKING, *_AFTER_REPLY),
    },
    State.ENDED: {},
}

TRANSITIONS: Final[dict[State, dict[type | ev.Timer, Step]]] = {
    state: {key: step(state) for key, step in steps.items()} for state, steps in _TABLE.items()
}
"""For each state: the events and timers that it takes, by whom, and the states that may follow. An
event that is not listed is ignored: a second `open`, audio before `open`, `waiting` outside a
reply, a late result."""
