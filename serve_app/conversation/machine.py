"""The specification of a conversation.

`Conversation.handle(event, now_s)` is the only way in and returns what to do. There is no clock,
no randomness and no I/O here: the time is handed in, tokens come from a factory, and waiting is
an effect. So a conversation can be tested in no time and replayed bit for bit. The table at the
end says which events each state takes and where they lead; the README draws it.

A user turn and the replies to it share a number, the generation. An interrupt starts a new one,
and whatever a dead generation still delivers is dropped at the door; so audio can only ever be
sent under the token of the reply that it belongs to.

    events ──▶ machine ──▶ opening       begins and ends the conversation
                           listening     follows the user's turn, and drafts the reply
                           transcribing  ends the turn and has it answered
                           replying      gives the reply out
                           barge_in      both want the floor
                              └──▶ floor ──▶ effects
"""

from collections.abc import Callable
from typing import Any

from serve_app.conversation import barge_in, listening, opening, replying, transcribing
from serve_app.conversation import events as ev
from serve_app.conversation.effects import Effect
from serve_app.conversation.floor import Floor
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.states import State


class Conversation:
    """One session, from `open` to `close`."""

    def __init__(self, settings: TurnSettings, new_token: Callable[[], str]) -> None:
        self._floor = Floor(settings, new_token)

    @property
    def state(self) -> State:
        return self._floor.state

    @property
    def generation(self) -> int:
        """Number of the current turn; work of any other is dead."""
        return self._floor.generation

    def handle(self, event: ev.Event, now_s: float) -> list[Effect]:
        """Takes the next event and returns what to do, in order. `now_s` never decreases."""
        floor = self._floor
        floor.now_s = now_s
        key = event.timer if isinstance(event, ev.Expired) else type(event)
        step = TRANSITIONS[floor.state].get(key)
        if floor.is_over or step is None or self._is_dead(event):
            return []
        handler, targets = step
        before = floor.state
        handler(floor, event)
        if floor.state is not before and not floor.is_over:
            assert floor.state in targets, f"{key}: {before} to {floor.state}"
            floor.tell_state()
        return floor.take_effects()

    def _is_dead(self, event: ev.Event) -> bool:
        reply = self._floor.agent.reply
        live = (self._floor.generation, reply.number if reply else 0)
        mine = (getattr(event, "generation", live[0]), getattr(event, "reply", live[1]))
        return mine != live


_Handler = Callable[[Floor, Any], None]
_Step = tuple[_Handler, frozenset[State]]
_Steps = dict[type | ev.Timer, _Step]


def _step(handler: _Handler, *targets: State) -> _Step:
    return handler, frozenset(targets)


_WHILE_OPEN: _Steps = {
    ev.AudioReceived: _step(listening.receive),
    ev.CloseRequested: _step(opening.close, State.CLOSED),
    ev.Disconnected: _step(opening.disconnect),
    ev.Draining: _step(opening.drain),
}
_WHILE_DRAFTING: _Steps = {
    ev.ReplyBegan: _step(replying.reply_began),
    ev.ReplyAudio: _step(replying.draft_audio),
    ev.ReplyEnded: _step(replying.draft_ended),
    ev.ReplyFailed: _step(listening.draft_is_off),
    ev.DraftDeclined: _step(listening.draft_is_off),
}
_AFTER_TURN = (State.REPLYING, State.WAITING)
_AFTER_REPLY = (State.WAITING, State.LISTENING)

TRANSITIONS: dict[State, _Steps] = {
    # There is no conversation yet.
    State.CLOSED: {
        ev.Opened: _step(opening.begin, State.REPLYING, State.WAITING),
        ev.CloseRequested: _step(opening.close),
        ev.Disconnected: _step(opening.disconnect),
        ev.Draining: _step(opening.drain),
        ev.Timer.OPEN: _step(opening.open_is_late),
    },
    # Nobody has the floor.
    State.WAITING: {
        **_WHILE_OPEN,
        ev.VoiceActivity: _step(listening.voice_while_waiting, State.LISTENING),
        ev.TextReceived: _step(listening.take_text, State.REPLYING),
        ev.Timer.IDLE_PROMPT: _step(opening.idle_too_long, State.REPLYING),
        ev.Timer.IDLE_CLOSE: _step(opening.idle_much_too_long),
    },
    # The user has the floor.
    State.LISTENING: {
        **_WHILE_OPEN,
        **_WHILE_DRAFTING,
        ev.Disconnected: _step(opening.disconnect, State.TRANSCRIBING),
        ev.VoiceActivity: _step(listening.voice_while_listening, State.TRANSCRIBING, *_AFTER_TURN),
        ev.TurnJudged: _step(listening.turn_judged),
        ev.PartTranscribed: _step(listening.part_transcribed),
        ev.Transcribed: _step(listening.transcribed_early),
        ev.TranscriptionFailed: _step(listening.failed_early),
        ev.TextReceived: _step(listening.type_along),
        ev.Timer.STALL: _step(listening.audio_may_have_stalled, State.TRANSCRIBING, *_AFTER_TURN),
    },
    # The user's turn has ended, its text is not there.
    State.TRANSCRIBING: {
        **_WHILE_OPEN,
        **_WHILE_DRAFTING,
        ev.VoiceActivity: _step(transcribing.voice_while_transcribing, State.LISTENING),
        ev.Transcribed: _step(transcribing.transcribed, *_AFTER_TURN),
        ev.TranscriptionFailed: _step(transcribing.transcription_failed, *_AFTER_TURN),
        ev.TextReceived: _step(listening.type_along),
        ev.Timer.TRANSCRIPT: _step(transcribing.transcript_is_late, *_AFTER_TURN),
    },
    # The agent has the floor.
    State.REPLYING: {
        **_WHILE_OPEN,
        ev.VoiceActivity: _step(barge_in.voice_while_replying, State.LISTENING),
        ev.Transcribed: _step(barge_in.overlap_transcribed, State.LISTENING),
        ev.TranscriptionFailed: _step(barge_in.overlap_failed),
        ev.ReplyBegan: _step(replying.reply_began),
        ev.ReplyAudio: _step(replying.reply_audio),
        ev.ReplyEnded: _step(replying.reply_ended, *_AFTER_REPLY),
        ev.ReplyFailed: _step(replying.reply_failed, *_AFTER_REPLY),
        ev.DraftDeclined: _step(replying.declined_late),
        ev.PlaybackWaiting: _step(replying.playback_waiting, *_AFTER_REPLY),
        ev.Played: _step(replying.played, *_AFTER_REPLY),
        ev.TextReceived: _step(barge_in.type_over),
        ev.InterruptRequested: _step(barge_in.interrupt_on_request, State.WAITING),
        ev.Timer.OUTPUT: _step(replying.output_is_due),
        ev.Timer.HOLD: _step(barge_in.hold_is_over, State.LISTENING),
        ev.Timer.PLAYBACK: _step(replying.playback_is_over, *_AFTER_REPLY),
        ev.Timer.IDLE_CLOSE: _step(opening.idle_much_too_long),
    },
}
"""For each state: the events and timers that it takes, by whom, and where they may lead. What is
not here is ignored: a second `open`, audio before `open`, `waiting` outside a reply, a late
result."""
