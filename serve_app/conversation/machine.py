"""The specification of a conversation.

`Conversation.handle(event, now_s)` is the only way in and returns what to do. There is no clock,
no randomness and no I/O here: the time is handed in, tokens come from a factory, and waiting is
an effect. So a conversation can be tested in no time and replayed bit for bit. The table at the
end says which events each state takes and where they lead; the README draws it.

A user turn and the replies to it share a number, the generation. An interrupt starts a new one,
and whatever a dead generation still delivers is dropped at the door; so audio can only ever be
sent under the token of the reply that it belongs to.

`Listener` is the user's side (audio, voice, the open turn), `Delivery` the agent's (token, reply,
playback). What is decided between the two is decided here: who has the floor.
"""

from collections.abc import Callable
from enum import StrEnum

from serve_app.conversation import events as ev
from serve_app.conversation.delivery import Delivery
from serve_app.conversation.effects import (
    Arm,
    Cancel,
    CloseSocket,
    Disarm,
    Effect,
    Record,
    Send,
)
from serve_app.conversation.history import History
from serve_app.conversation.ledger import Piece
from serve_app.conversation.listener import Listener
from serve_app.conversation.metrics import TurnTimes
from serve_app.conversation.playout import Playout
from serve_app.conversation.settings import TurnSettings, with_client_settings
from serve_app.conversation.sound import ANY_SOUND
from serve_app.conversation.turn import Turn
from serve_app.conversation.words import floor_words, same_words, words
from serve_app.protocol.messages import (
    ErrorNotice,
    Partial,
    ServerMessage,
    StateChanged,
    Transcript,
)

BAD_OPTION = 4400
NOT_OPENED = 4408
IDLE = 4410
_STALL_S = 2.0
"""A speaker's audio that has not come for so long will not come."""
_TRANSCRIPT_S = 30.0
"""Above the deadline of the call itself, which should have failed by then."""


class State(StrEnum):
    """Echo's five states, by Echo's names."""

    CLOSED = "closed"
    WAITING = "waiting"
    LISTENING = "listening"
    TRANSCRIBING = "transcribing"
    REPLYING = "replying"


class Conversation:
    """One session, from `open` to `close`."""

    def __init__(self, settings: TurnSettings, new_token: Callable[[], str]) -> None:
        self._settings = settings
        self._new_token = new_token
        self._now_s = 0.0
        self._state = State.CLOSED
        self._is_over = False
        self._is_idle = False
        self._owes_reply = False
        self._wanted: frozenset[str] = frozenset()
        self._effects: list[Effect] = []
        self._history = History()
        self._generation = 0
        self._times = TurnTimes()
        self._cut_off: list[Piece] = []
        self._received_at_stall = 0
        self._user = Listener(settings, "", self._do)
        self._agent = Delivery(settings, ANY_SOUND, new_token, self._do)

    @property
    def state(self) -> State:
        return self._state

    @property
    def generation(self) -> int:
        """Number of the current turn; work of any other is dead."""
        return self._generation

    def handle(self, event: ev.Event, now_s: float) -> list[Effect]:
        """Takes the next event and returns what to do, in order. `now_s` never decreases."""
        self._now_s = now_s
        key = event.timer if isinstance(event, ev.Expired) else type(event)
        step = TRANSITIONS[self._state].get(key)
        if self._is_over or step is None or self._is_dead(event):
            return []
        handler, targets = step
        before = self._state
        handler(self, event)
        if self._state is not before and not self._is_over:
            assert self._state in targets, f"{key}: {before} to {self._state}"
            self._notify(StateChanged(self._state), "state")
        effects, self._effects = self._effects, []
        return effects

    def _is_dead(self, event: ev.Event) -> bool:
        reply = self._agent.reply
        live = (self._generation, reply.number if reply else 0)
        mine = (getattr(event, "generation", live[0]), getattr(event, "reply", live[1]))
        return mine != live

    # --- opening and closing ---

    def _open(self, event: ev.Opened) -> None:
        self._do(Disarm(ev.Timer.OPEN))
        try:
            self._settings = with_client_settings(self._settings, event.turn)
        except ValueError as error:
            self._end(BAD_OPTION, f"open: turn: {error}")
            return
        self._wanted = event.events
        self._user = Listener(self._settings, event.language, self._do)
        self._agent = Delivery(self._settings, event.sound, self._new_token, self._do)
        self._generation += 1
        self._greet(event.prompt, event.greeting)

    def _greet(self, prompt: str, greeting: str | None) -> None:
        """Echo's way, unless the client asked for its own words or for silence."""
        self._times = TurnTimes.from_text(self._now_s)
        self._history.begin(prompt, "" if greeting == "" else self._settings.greeting)
        if greeting:
            self._say(greeting)
        elif self._history.awaits_reply:
            self._ask()
        else:
            self._wait()
        if self._agent.reply:
            self._agent.reply.is_interruptible = self._settings.interruptible_greeting

    def _open_is_late(self, event: ev.Expired) -> None:
        self._end(NOT_OPENED, "no 'open' message arrived in time")

    def _close(self, event: ev.CloseRequested) -> None:
        if self._state is State.REPLYING:
            self._commit_reply(self._agent.end().heard(self._now_s))
        self._do(Cancel(self._generation))
        self._state = State.CLOSED
        self._end(1000, "bye")

    def _end(self, code: int, reason: str) -> None:
        self._do(CloseSocket(code, reason))
        self._is_over = True

    # --- waiting: nobody has the floor ---

    def _wait(self) -> None:
        self._state = State.WAITING
        self._user.close()
        if not self._is_idle:
            self._arm(ev.Timer.IDLE_PROMPT, self._settings.idle_prompt_ms / 1000)
            self._arm(ev.Timer.IDLE_CLOSE, self._settings.idle_close_ms / 1000)

    def _receive(self, event: ev.AudioReceived) -> None:
        self._user.receive(event.samples)

    def _voice_while_waiting(self, event: ev.VoiceActivity) -> None:
        self._user.hear(event.probability)
        if self._user.is_speaking:
            self._listen()
        else:
            self._user.forget()

    def _idle_too_long(self, event: ev.Expired) -> None:
        self._is_idle = True
        self._times = TurnTimes.from_text(self._now_s)
        self._say(self._settings.idle_prompt)

    def _idle_much_too_long(self, event: ev.Expired) -> None:
        self._do(Cancel(self._generation))
        self._end(IDLE, f"nothing was said for {self._settings.idle_close_ms / 1000:g} s")

    def _type(self, event: ev.TextReceived) -> None:
        """A typed turn is complete at once."""
        self._not_idle()
        self._generation += 1
        self._times = TurnTimes.from_text(self._now_s)
        self._commit_turn(event.text)
        self._ask()

    # --- listening: the user has the floor ---

    def _listen(self) -> None:
        """A turn begins with the speech that is going on."""
        self._generation += 1
        self._user.open(self._generation)
        self._take_floor()

    def _listen_on(self) -> None:
        """What was said while the agent talked is a turn."""
        turn = self._turn
        if not turn.is_complete:
            self._user.reopen(turn)
        self._generation += 1
        turn.generation = self._generation
        self._take_floor()

    def _take_floor(self) -> None:
        self._not_idle()
        self._do(Disarm(ev.Timer.HOLD))
        self._state = State.LISTENING
        self._watch_audio()

    def _watch_audio(self) -> None:
        self._received_at_stall = self._user.received
        self._arm(ev.Timer.STALL, _STALL_S)

    def _audio_may_have_stalled(self, event: ev.Expired) -> None:
        if self._user.received > self._received_at_stall:
            self._watch_audio()
        else:
            self._user.cut_off(self._turn)
            self._end_turn()

    def _voice_while_listening(self, event: ev.VoiceActivity) -> None:
        turn = self._turn
        self._user.hear(event.probability)
        self._user.follow(turn)
        if self._user.is_speaking and not turn.is_soft_ended:
            self._agent.drop(self._generation)
        self._user.ask_for_part(turn)
        self._user.judge(turn)
        if self._user.is_at_end(turn):
            self._end_turn()

    def _judged(self, event: ev.TurnJudged) -> None:
        if event.segment == self._turn.segment and self._turn.is_judged:
            self._turn.complete = event.complete

    def _transcribed_early(self, event: ev.Transcribed) -> None:
        self._turn.settle(event.segment, event.text)
        self._draft()

    def _part_transcribed(self, event: ev.PartTranscribed) -> None:
        if text := self._turn.settle_part(event.segment, event.text):
            self._notify(Partial(self._generation, text), "partial")

    def _failed_early(self, event: ev.TranscriptionFailed) -> None:
        self._settle_failure(event)

    def _draft(self) -> None:
        """Begins a reply on suspicion: kept back until the turn ends, dropped if it goes on."""
        turn, reply = self._turn, self._agent.reply
        if not (turn.is_soft_ended and turn.is_complete and turn.text):
            return
        is_known = reply is not None and same_words(reply.answers, turn.text)
        if not is_known and turn.drafts < self._settings.max_drafts:
            turn.drafts += 1
            chat = self._history.with_user(turn.text)
            self._agent.draft(self._generation, chat, turn.text)

    def _draft_is_off(self, event: ev.ReplyFailed | ev.DraftDeclined) -> None:
        """No matter: the reply is asked for when the turn ends."""
        self._agent.reply = None

    def _type_along(self, event: ev.TextReceived) -> None:
        self._turn.add_text(event.text)

    # --- transcribing: the turn has ended, its text is not there ---

    def _end_turn(self) -> None:
        self._times = TurnTimes(self._now_s, self._user.silence_ms, self._now_s)
        self._state = State.TRANSCRIBING
        self._do(Disarm(ev.Timer.STALL))
        if not self._turn.is_complete:
            self._arm(ev.Timer.TRANSCRIPT, _TRANSCRIPT_S)
        self._answer_when_transcribed()

    def _voice_while_transcribing(self, event: ev.VoiceActivity) -> None:
        self._user.hear(event.probability)
        if self._user.is_speaking:
            self._do(Disarm(ev.Timer.TRANSCRIPT))
            self._user.reopen(self._turn)
            self._agent.drop(self._generation)
            self._take_floor()

    def _transcribed(self, event: ev.Transcribed) -> None:
        self._turn.settle(event.segment, event.text)
        self._answer_when_transcribed()

    def _transcription_failed(self, event: ev.TranscriptionFailed) -> None:
        self._settle_failure(event)
        self._answer_when_transcribed()

    def _transcript_is_late(self, event: ev.Expired) -> None:
        self._tell_error("stt", "no transcript in time")
        self._do(Cancel(self._generation))
        self._agent.reply = None
        self._turn.give_up()
        self._answer_when_transcribed()

    def _settle_failure(self, event: ev.TranscriptionFailed) -> None:
        if self._turn.settle(event.segment, ""):
            self._tell_error("stt", event.message)

    def _answer_when_transcribed(self) -> None:
        if self._turn.is_complete:
            self._do(Disarm(ev.Timer.TRANSCRIPT))
            self._times = self._times.transcribed(self._now_s)
            text = self._turn.text
            self._user.close()
            if text:
                self._commit_turn(text)
                self._answer(text)
            else:
                self._answer_nothing()

    def _commit_turn(self, text: str) -> None:
        self._cut_off = []
        self._history.add_user(text)
        self._notify(Transcript(self._generation, "user", text), "transcript")
        self._record()

    def _answer(self, text: str) -> None:
        draft = self._agent.reply
        if draft is not None and same_words(draft.answers, text):
            self._reply()
        else:
            self._ask()

    def _answer_nothing(self) -> None:
        """Noise, or words that nobody understood: whoever was cut off by it goes on."""
        self._agent.drop(self._generation)
        rest, self._cut_off = self._cut_off, []
        if rest:
            self._agent.repeat(rest, self._now_s)
            self._reply()
        elif self._owes_reply:
            self._ask()
        else:
            self._wait()

    # --- replying: the agent has the floor ---

    def _ask(self) -> None:
        self._agent.ask(self._generation, self._history.chat)
        self._reply()

    def _say(self, text: str) -> None:
        self._agent.say(self._generation, text)
        self._reply()

    def _reply(self) -> None:
        self._owes_reply = False
        self._state = State.REPLYING
        self._agent.commit()
        self._output()
        self._finish_if_played()

    def _output(self) -> None:
        """Sends what is due of the reply."""
        reply = self._live
        was_started = reply.is_started
        self._agent.send(self._generation, self._now_s)
        if reply.is_started and not was_started:
            self._notify(self._times.metrics(self._generation, reply, self._now_s), "metrics")

    def _reply_began(self, event: ev.ReplyBegan) -> None:
        self._live.text_at_s = self._live.text_at_s or self._now_s

    def _draft_audio(self, event: ev.ReplyAudio) -> None:
        self._live.add(Piece(event.audio, event.text, event.duration_s), self._now_s)

    def _draft_ended(self, event: ev.ReplyEnded) -> None:
        self._live.is_written = True

    def _reply_audio(self, event: ev.ReplyAudio) -> None:
        self._draft_audio(event)
        self._output()

    def _reply_ended(self, event: ev.ReplyEnded) -> None:
        self._live.is_written = True
        self._output()
        self._finish_if_played()

    def _reply_failed(self, event: ev.ReplyFailed) -> None:
        self._tell_error(event.stage, event.message)
        apology = self._settings.apology
        if apology and event.stage != "tts" and not self._live.is_apology:
            self._agent.apologise(self._generation, self._live, apology)
        else:
            self._reply_ended(ev.ReplyEnded(event.generation, event.reply))

    def _declined_late(self, event: ev.DraftDeclined) -> None:
        """The turn ended before that was known. What was declined needs no cancel; what it said
        may have been heard, so the reply goes on from there."""
        if said := self._live.text:
            chat = self._history.after_words(said, self._settings.continuation)
            self._agent.go_on(self._generation, chat)
        else:
            self._agent.reply = None
            self._ask()

    def _output_is_due(self, event: ev.Expired) -> None:
        self._output()

    def _playback_waiting(self, event: ev.PlaybackWaiting) -> None:
        # Echo's client says so at every underrun: it is the end only when nothing is to come.
        self._agent.ran_dry(self._now_s)
        self._output()
        self._finish_if_played()

    def _played(self, event: ev.Played) -> None:
        if event.token == self._agent.token and self._live.is_started:
            self._live.correct(event.played_ms / 1000, self._now_s)
            self._output()
            self._finish_if_played()

    def _playback_is_over(self, event: ev.Expired) -> None:
        self._finish_reply()

    def _finish_if_played(self) -> None:
        if self._live.is_sent and not self._live.remaining_s(self._now_s):
            self._finish_reply()

    def _finish_reply(self) -> None:
        reply = self._agent.end()
        reply.ran_dry(self._now_s)
        self._commit_reply(reply.heard(self._now_s))
        turn = self._user.turn
        if turn is not None and turn.speech_ms >= self._settings.min_speech_ms:
            self._listen_on()
        else:
            self._do(Disarm(ev.Timer.HOLD))
            self._wait()

    def _commit_reply(self, heard: str) -> None:
        if heard:
            self._history.add_assistant(heard)
            self._notify(Transcript(self._generation, "agent", heard), "transcript")
        self._record()

    # --- barge-in: both want the floor ---

    def _voice_while_replying(self, event: ev.VoiceActivity) -> None:
        self._user.hear(event.probability)
        reply = self._live
        if not (reply.is_interruptible and self._settings.interruptions):
            self._user.forget()
        elif reply.is_started:
            self._weigh_overlap()
        elif self._user.is_speaking:
            self._withdraw_reply()
        else:
            self._user.forget()

    def _weigh_overlap(self) -> None:
        """Holds the output at the first voiced frame, then finds out what the user wants."""
        user = self._user
        if user.turn is None and not user.is_voiced:
            user.forget()
            return
        turn = user.turn or user.open(self._generation)
        user.follow(turn)
        if user.is_voiced:
            self._hold()
            if self._is_long(user.speech_ms):
                self._interrupt()
        elif user.is_silent and turn.speech_ms < self._settings.min_speech_ms:
            self._dismiss_overlap()

    def _is_long(self, speech_ms: int) -> bool:
        settings = self._settings
        return settings.interrupt_words == 1 and speech_ms >= settings.interrupt_speech_ms

    def _hold(self) -> None:
        if not self._live.is_held:
            self._agent.hold()
            self._arm(ev.Timer.HOLD, self._settings.hold_ms / 1000)

    def _overlap_transcribed(self, event: ev.Transcribed) -> None:
        turn = self._user.turn
        if turn is None or not turn.settle(event.segment, event.text):
            return
        asked_for = floor_words(turn.text, self._settings.backchannels)
        if len(asked_for) >= self._settings.interrupt_words:
            self._interrupt()
        elif not (words(turn.text) and self._agent.is_ending(self._now_s)):
            # A "yes" to the agent's last words is an answer, and becomes a turn with them.
            self._dismiss_overlap()

    def _overlap_failed(self, event: ev.TranscriptionFailed) -> None:
        if self._user.turn is not None:
            self._settle_failure(event)
            self._dismiss_overlap()

    def _hold_is_over(self, event: ev.Expired) -> None:
        if self._user.is_speaking and not self._user.is_silent:
            self._interrupt()
        else:
            # Should the words still come, they still count.
            self._agent.resume(self._generation, self._now_s)

    def _dismiss_overlap(self) -> None:
        """It was nothing, or nothing that asks for the floor."""
        self._do(Disarm(ev.Timer.HOLD))
        self._user.close()
        self._agent.resume(self._generation, self._now_s)

    def _interrupt(self) -> None:
        self._cut_off = self._stop_reply()
        self._listen_on()

    def _interrupt_on_request(self, event: ev.InterruptRequested) -> None:
        self._stop_reply()
        self._wait()

    def _type_over(self, event: ev.TextReceived) -> None:
        self._stop_reply()
        self._user.close()
        self._type(event)

    def _stop_reply(self) -> list[Piece]:
        """The client first, then the work. Returns what was not heard."""
        self._agent.interrupt()
        self._do(Cancel(self._generation))
        self._do(Disarm(ev.Timer.HOLD))
        reply = self._agent.end()
        self._commit_reply(reply.heard(self._now_s))
        return reply.unheard(self._now_s)

    def _withdraw_reply(self) -> None:
        """The user goes on before the agent was heard: the next words join the last ones."""
        self._do(Cancel(self._generation))
        self._agent.end()
        self._user.went_on()
        self._owes_reply = self._history.awaits_reply
        self._listen()

    # --- small things ---

    @property
    def _turn(self) -> Turn:
        assert self._user.turn is not None
        return self._user.turn

    @property
    def _live(self) -> Playout:
        assert self._agent.reply is not None
        return self._agent.reply

    def _not_idle(self) -> None:
        self._is_idle = False
        if self._settings.idle_prompt_ms or self._settings.idle_close_ms:
            self._do(Disarm(ev.Timer.IDLE_PROMPT))
            self._do(Disarm(ev.Timer.IDLE_CLOSE))

    def _arm(self, timer: ev.Timer, seconds: float) -> None:
        if seconds:
            self._do(Arm(timer, self._generation, seconds))

    def _record(self) -> None:
        chat, tokens = self._history.chat, self._agent.tokens_issued
        self._do(Record(chat, self._generation, tokens))

    def _tell_error(self, stage: str, message: str) -> None:
        self._notify(ErrorNotice(self._generation, stage, message), "error")

    def _notify(self, message: ServerMessage, event: str) -> None:
        if event in self._wanted:
            self._do(Send(message))

    def _do(self, effect: Effect) -> None:
        self._effects.append(effect)


_Step = tuple[Callable[..., None], frozenset[State]]
_Steps = dict[type | ev.Timer, _Step]


def _step(handler: Callable[..., None], *targets: State) -> _Step:
    return handler, frozenset(targets)


_WHILE_OPEN: _Steps = {
    ev.AudioReceived: _step(Conversation._receive),
    ev.CloseRequested: _step(Conversation._close, State.CLOSED),
}
_WHILE_DRAFTING: _Steps = {
    ev.ReplyBegan: _step(Conversation._reply_began),
    ev.ReplyAudio: _step(Conversation._draft_audio),
    ev.ReplyEnded: _step(Conversation._draft_ended),
    ev.ReplyFailed: _step(Conversation._draft_is_off),
    ev.DraftDeclined: _step(Conversation._draft_is_off),
}
_AFTER_TURN = (State.REPLYING, State.WAITING)
_AFTER_REPLY = (State.WAITING, State.LISTENING)

TRANSITIONS: dict[State, _Steps] = {
    State.CLOSED: {
        ev.Opened: _step(Conversation._open, State.REPLYING, State.WAITING),
        ev.CloseRequested: _step(Conversation._close),
        ev.Timer.OPEN: _step(Conversation._open_is_late),
    },
    State.WAITING: {
        **_WHILE_OPEN,
        ev.VoiceActivity: _step(Conversation._voice_while_waiting, State.LISTENING),
        ev.TextReceived: _step(Conversation._type, State.REPLYING),
        ev.Timer.IDLE_PROMPT: _step(Conversation._idle_too_long, State.REPLYING),
        ev.Timer.IDLE_CLOSE: _step(Conversation._idle_much_too_long),
    },
    State.LISTENING: {
        **_WHILE_OPEN,
        **_WHILE_DRAFTING,
        ev.VoiceActivity: _step(
            Conversation._voice_while_listening, State.TRANSCRIBING, *_AFTER_TURN
        ),
        ev.TurnJudged: _step(Conversation._judged),
        ev.PartTranscribed: _step(Conversation._part_transcribed),
        ev.Transcribed: _step(Conversation._transcribed_early),
        ev.TranscriptionFailed: _step(Conversation._failed_early),
        ev.TextReceived: _step(Conversation._type_along),
        ev.Timer.STALL: _step(
            Conversation._audio_may_have_stalled, State.TRANSCRIBING, *_AFTER_TURN
        ),
    },
    State.TRANSCRIBING: {
        **_WHILE_OPEN,
        **_WHILE_DRAFTING,
        ev.VoiceActivity: _step(Conversation._voice_while_transcribing, State.LISTENING),
        ev.Transcribed: _step(Conversation._transcribed, *_AFTER_TURN),
        ev.TranscriptionFailed: _step(Conversation._transcription_failed, *_AFTER_TURN),
        ev.TextReceived: _step(Conversation._type_along),
        ev.Timer.TRANSCRIPT: _step(Conversation._transcript_is_late, *_AFTER_TURN),
    },
    State.REPLYING: {
        **_WHILE_OPEN,
        ev.VoiceActivity: _step(Conversation._voice_while_replying, State.LISTENING),
        ev.Transcribed: _step(Conversation._overlap_transcribed, State.LISTENING),
        ev.TranscriptionFailed: _step(Conversation._overlap_failed),
        ev.ReplyBegan: _step(Conversation._reply_began),
        ev.ReplyAudio: _step(Conversation._reply_audio),
        ev.ReplyEnded: _step(Conversation._reply_ended, *_AFTER_REPLY),
        ev.ReplyFailed: _step(Conversation._reply_failed, *_AFTER_REPLY),
        ev.DraftDeclined: _step(Conversation._declined_late),
        ev.PlaybackWaiting: _step(Conversation._playback_waiting, *_AFTER_REPLY),
        ev.Played: _step(Conversation._played, *_AFTER_REPLY),
        ev.TextReceived: _step(Conversation._type_over),
        ev.InterruptRequested: _step(Conversation._interrupt_on_request, State.WAITING),
        ev.Timer.OUTPUT: _step(Conversation._output_is_due),
        ev.Timer.HOLD: _step(Conversation._hold_is_over, State.LISTENING),
        ev.Timer.PLAYBACK: _step(Conversation._playback_is_over, *_AFTER_REPLY),
        ev.Timer.IDLE_CLOSE: _step(Conversation._idle_much_too_long),
    },
}
"""For each state: the events and timers that it takes, by whom, and where they may lead. What is
not here is ignored: a second `open`, audio before `open`, `waiting` outside a reply, a late
result."""
