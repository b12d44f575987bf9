"""The specification of a conversation.

    closed ──open──▶ replying ──played──▶ waiting ──speech──▶ listening ──silence──▶ transcribing
                        ▲                    ▲                  ▲   ▲                  │  │  │
                        │                    └── nothing said ──┼───┼──────────────────┘  │  │
                        │                                       │   └── speech goes on ───┘  │
                        └───────────── transcript ──────────────┼────────────────────────────┘
                        └───────── barge-in (interrupt) ────────┘

`Conversation.handle(event)` is the only way in and returns what to do. There is no clock, no
randomness and no I/O here: time is counted in received samples, tokens come from a factory, and
waiting is an effect. So a conversation can be tested in no time and replayed bit for bit.

Each user turn and its reply share a number, the generation. An interrupt starts a new one, and
whatever a dead generation still delivers is dropped at the door; so audio can only ever be sent
under the token of the reply that it belongs to.
"""

from collections.abc import Callable
from enum import StrEnum

from serve_app.conversation import events as ev
from serve_app.conversation.audio import AudioBuffer
from serve_app.conversation.effects import (
    Arm,
    Cancel,
    CancelSegment,
    CloseSocket,
    Detect,
    Disarm,
    Effect,
    Record,
    Reply,
    Send,
    Transcribe,
)
from serve_app.conversation.history import History
from serve_app.conversation.ledger import HeardLedger
from serve_app.conversation.settings import SAMPLE_RATE_HZ, TurnSettings, samples
from serve_app.conversation.turn import Turn
from serve_app.conversation.voice import VoiceTracker
from serve_app.protocol.messages import (
    AgentAudio,
    ErrorNotice,
    Interrupt,
    Metrics,
    ServerMessage,
    StateChanged,
    Token,
    Transcript,
)

_TAIL_MS = 160
"""Audio kept after the last voiced frame: the VAD lets go before a final consonant does."""
_PLAYBACK_SLACK_S = 0.5
"""A client's `waiting` counts as the end of a reply when no more than this is left to play;
and so much later than expected a reply counts as played when the client says nothing."""


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
        self._state = State.CLOSED
        self._is_over = False
        self._wanted: frozenset[str] = frozenset()
        self._effects: list[Effect] = []
        self._audio = AudioBuffer()
        self._voice = VoiceTracker(settings)
        self._history = History()
        self._generation = 0
        self._token = ""
        self._token_is_fresh = False
        self._tokens_issued = 0
        self._turn = Turn(0)
        self._ledger = HeardLedger()
        self._reply_text_ms: float | None = None
        self._reply_is_complete = False

    @property
    def state(self) -> State:
        return self._state

    @property
    def generation(self) -> int:
        """Number of the current turn; work of any other is dead."""
        return self._generation

    def handle(self, event: ev.Event) -> list[Effect]:
        """Takes the next event and returns what to do, in order."""
        generation = getattr(event, "generation", self._generation)
        step = TRANSITIONS[self._state].get(type(event))
        if self._is_over or step is None or generation != self._generation:
            return []
        handler, targets = step
        before = self._state
        handler(self, event)
        if self._state is not before and not self._is_over:
            assert self._state in targets, f"{type(event).__name__}: {before} to {self._state}"
            self._notify(StateChanged(self._state), "state")
        effects, self._effects = self._effects, []
        return effects

    # --- opening and closing ---

    def _open(self, event: ev.Opened) -> None:
        self._wanted = event.events
        self._history.begin(event.prompt, self._settings.greeting)
        self._do(Disarm(ev.Timer.OPEN))
        self._generation += 1
        self._start_reply()

    def _open_is_late(self, event: ev.Expired) -> None:
        self._end(4408, "no 'open' message arrived in time")

    def _close(self, event: ev.CloseRequested) -> None:
        if self._state is State.REPLYING:
            self._commit_reply(self._ledger.heard(self._now_s))
        self._do(Cancel(self._generation))
        self._state = State.CLOSED
        self._end(1000, "bye")

    def _end(self, code: int, reason: str) -> None:
        self._do(CloseSocket(code, reason))
        self._is_over = True

    # --- audio and voice activity ---

    def _receive(self, event: ev.AudioReceived) -> None:
        self._audio.append(event.samples)
        frames = self._audio.take_frames()
        if len(frames):
            self._do(Detect(frames))

    def _voice_while_waiting(self, event: ev.VoiceActivity) -> None:
        self._voice.push(event.probability)
        if self._voice.speech_ms >= self._settings.min_speech_ms:
            self._listen()
        else:
            self._audio.forget_before(self._speech_start())

    def _voice_while_listening(self, event: ev.VoiceActivity) -> None:
        self._voice.push(event.probability)
        silence_ms = self._voice.silence_ms
        if silence_ms == 0:
            self._go_on_listening()
        elif not self._turn.is_soft_ended and silence_ms >= self._soft_end_ms:
            self._transcribe_segment(self._voice.speech_end_at + samples(_TAIL_MS))
            self._turn.is_soft_ended = True
        if silence_ms >= self._settings.end_silence_ms:
            self._end_turn()

    def _go_on_listening(self) -> None:
        self._reopen_segment()
        if self._voice.judged_at - self._turn.start >= samples(self._settings.max_utterance_ms):
            self._transcribe_segment(self._voice.judged_at)
            self._turn.start = self._voice.judged_at
            self._audio.forget_before(self._turn.start)

    def _end_turn(self) -> None:
        turn = self._turn
        turn.ended_at = self._audio.end
        turn.endpoint_ms = (turn.ended_at - self._voice.speech_end_at) / SAMPLE_RATE_HZ * 1000
        self._state = State.TRANSCRIBING
        self._reply_when_transcribed()

    def _voice_while_transcribing(self, event: ev.VoiceActivity) -> None:
        self._voice.push(event.probability)
        if self._voice.speech_ms >= self._settings.min_speech_ms:
            self._reopen_segment()
            self._state = State.LISTENING

    def _reopen_segment(self) -> None:
        """Speech goes on after a soft end: what was asked for is not the whole segment."""
        if self._turn.is_soft_ended:
            self._turn.is_soft_ended = False
            self._do(CancelSegment(self._generation, self._turn.reopen_segment()))

    def _voice_while_replying(self, event: ev.VoiceActivity) -> None:
        self._voice.push(event.probability)
        if not self._ledger.started and self._voice.speech_ms >= self._settings.min_speech_ms:
            self._withdraw_reply()
        elif self._voice.speech_ms >= self._settings.interrupt_speech_ms:
            self._interrupt()
        else:
            self._audio.forget_before(self._speech_start())

    def _listen(self) -> None:
        self._generation += 1
        self._turn = Turn(self._speech_start())
        self._audio.forget_before(self._turn.start)
        self._state = State.LISTENING

    def _transcribe_segment(self, end: int) -> None:
        audio = self._audio.cut(self._turn.start, end)
        self._turn.asked_at = self._audio.end
        self._do(Transcribe(self._generation, self._turn.add_segment(), audio))

    def _speech_start(self) -> int:
        """Where an utterance would start: before the onset, or before what was judged last."""
        onset = self._voice.onset_at
        start = self._voice.judged_at if onset is None else onset
        return max(0, start - samples(self._settings.pre_roll_ms))

    # --- the user's turn ---

    def _transcribed(self, event: ev.Transcribed) -> None:
        if self._turn.settle(event.segment, event.text):
            self._turn.transcription_ms = event.elapsed_ms
        self._reply_when_transcribed()

    def _transcription_failed(self, event: ev.TranscriptionFailed) -> None:
        if self._turn.settle(event.segment, ""):
            self._notify(ErrorNotice(self._generation, "stt", event.message), "error")
        self._reply_when_transcribed()

    def _reply_when_transcribed(self) -> None:
        if self._state is State.LISTENING or not self._turn.is_complete:
            return
        if text := self._turn.text:
            self._history.add_user(text)
            self._notify(Transcript(self._generation, "user", text), "transcript")
            self._record()
        if self._history.awaits_reply:
            self._start_reply()
        else:
            self._state = State.WAITING

    # --- the agent's turn ---

    def _start_reply(self) -> None:
        self._ledger = HeardLedger()
        self._reply_text_ms = None
        self._reply_is_complete = False
        if not self._token_is_fresh:
            self._issue_token()
            self._do(Send(Token(self._token)))
        self._do(Reply(self._generation, self._history.chat))
        self._state = State.REPLYING

    def _reply_text(self, event: ev.ReplyText) -> None:
        if self._reply_text_ms is None:
            self._reply_text_ms = event.elapsed_ms

    def _reply_audio(self, event: ev.ReplyAudio) -> None:
        if not self._ledger.started and event.audio:
            self._notify(self._metrics(event), "metrics")
        self._ledger.add(event.text, event.duration_s, self._now_s)
        if event.audio:
            self._token_is_fresh = False
            self._do(Send(AgentAudio(self._token, event.audio)))

    def _reply_ended(self, event: ev.ReplyEnded) -> None:
        self._reply_is_complete = True
        remaining_s = self._ledger.remaining_s(self._now_s)
        if remaining_s:
            wait_s = remaining_s + _PLAYBACK_SLACK_S
            self._do(Arm(ev.Timer.PLAYBACK, self._generation, wait_s))
        else:
            self._finish_reply()

    def _reply_failed(self, event: ev.ReplyFailed) -> None:
        self._notify(ErrorNotice(self._generation, event.stage, event.message), "error")
        self._reply_ended(ev.ReplyEnded(event.generation))

    def _playback_waiting(self, event: ev.PlaybackWaiting) -> None:
        # Echo's client says so at every underrun: it is the end only when nothing is to come.
        if self._reply_is_complete and self._ledger.remaining_s(self._now_s) <= _PLAYBACK_SLACK_S:
            self._finish_reply()

    def _playback_is_over(self, event: ev.Expired) -> None:
        self._finish_reply()

    def _finish_reply(self) -> None:
        self._commit_reply(self._ledger.everything())
        self._state = State.WAITING

    def _interrupt(self) -> None:
        self._issue_token()
        self._do(Send(Interrupt(self._token)))
        self._do(Cancel(self._generation))
        self._commit_reply(self._ledger.heard(self._now_s))
        self._listen()

    def _withdraw_reply(self) -> None:
        """The user goes on before the agent was heard: the next words join the last ones."""
        self._do(Cancel(self._generation))
        self._listen()

    def _commit_reply(self, heard: str) -> None:
        self._do(Disarm(ev.Timer.PLAYBACK))
        if heard:
            self._history.add_assistant(heard)
            self._notify(Transcript(self._generation, "agent", heard), "transcript")
        self._record()

    def _metrics(self, first: ev.ReplyAudio) -> Metrics:
        text_ms = first.elapsed_ms if self._reply_text_ms is None else self._reply_text_ms
        turn = self._turn
        return Metrics(
            self._generation, turn.endpoint_ms, turn.stt_ms, text_ms, first.elapsed_ms - text_ms
        )

    # --- small things ---

    @property
    def _soft_end_ms(self) -> int:
        return min(self._settings.soft_end_ms, self._settings.end_silence_ms)

    @property
    def _now_s(self) -> float:
        return self._audio.end / SAMPLE_RATE_HZ

    def _issue_token(self) -> None:
        self._token = self._new_token()
        self._token_is_fresh = True
        self._tokens_issued += 1

    def _record(self) -> None:
        self._do(Record(self._history.chat, self._generation, self._tokens_issued))

    def _notify(self, message: ServerMessage, event: str) -> None:
        if event in self._wanted:
            self._do(Send(message))

    def _do(self, effect: Effect) -> None:
        self._effects.append(effect)


_Step = tuple[Callable[..., None], frozenset[State]]


def _step(handler: Callable[..., None], *targets: State) -> _Step:
    return handler, frozenset(targets)


_WHILE_OPEN: dict[type, _Step] = {
    ev.AudioReceived: _step(Conversation._receive),
    ev.CloseRequested: _step(Conversation._close, State.CLOSED),
}

TRANSITIONS: dict[State, dict[type, _Step]] = {
    State.CLOSED: {
        ev.Opened: _step(Conversation._open, State.REPLYING),
        ev.Expired: _step(Conversation._open_is_late),
        ev.CloseRequested: _step(Conversation._close),
    },
    State.WAITING: {
        **_WHILE_OPEN,
        ev.VoiceActivity: _step(Conversation._voice_while_waiting, State.LISTENING),
    },
    State.LISTENING: {
        **_WHILE_OPEN,
        ev.VoiceActivity: _step(
            Conversation._voice_while_listening,
            State.TRANSCRIBING,
            State.REPLYING,
            State.WAITING,
        ),
        ev.Transcribed: _step(Conversation._transcribed),
        ev.TranscriptionFailed: _step(Conversation._transcription_failed),
    },
    State.TRANSCRIBING: {
        **_WHILE_OPEN,
        ev.VoiceActivity: _step(Conversation._voice_while_transcribing, State.LISTENING),
        ev.Transcribed: _step(Conversation._transcribed, State.REPLYING, State.WAITING),
        ev.TranscriptionFailed: _step(
            Conversation._transcription_failed, State.REPLYING, State.WAITING
        ),
    },
    State.REPLYING: {
        **_WHILE_OPEN,
        ev.VoiceActivity: _step(Conversation._voice_while_replying, State.LISTENING),
        ev.ReplyText: _step(Conversation._reply_text),
        ev.ReplyAudio: _step(Conversation._reply_audio),
        ev.ReplyEnded: _step(Conversation._reply_ended, State.WAITING),
        ev.ReplyFailed: _step(Conversation._reply_failed, State.WAITING),
        ev.PlaybackWaiting: _step(Conversation._playback_waiting, State.WAITING),
        ev.Expired: _step(Conversation._playback_is_over, State.WAITING),
    },
}
"""For each state: the events that it takes, by whom, and where they may lead. What is not here
is ignored: a second `open`, audio before `open`, `waiting` outside a reply, a late result."""
