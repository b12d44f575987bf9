"""All that a conversation is at one moment, and how the floor passes from one side to the other.

    wait ──▶ listen ──▶ commit_turn ──▶ ask, say ──▶ finish_reply ──▶ wait, listen_on

`Listener` is the user's side (audio, voice, the open turn), `Delivery` the agent's (token, reply,
playback). What lies between them is decided here and in the handlers of the events, which all take
the floor as their first argument. What gives the floor away returns the state that follows.
"""

from collections.abc import Callable

from serve_app.conversation import events as ev
from serve_app.conversation.budget import newest_within
from serve_app.conversation.delivery import Delivery
from serve_app.conversation.effects import Arm, Cancel, CloseSocket, Disarm, Effect, Send
from serve_app.conversation.events import Timer
from serve_app.conversation.history import ChatMessage, History, Record
from serve_app.conversation.listener import Listener
from serve_app.conversation.metrics import TurnTimes
from serve_app.conversation.open_reply import OpenReply
from serve_app.conversation.own_voice import OwnVoice, is_own_voice
from serve_app.conversation.playout import Playout
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.conversation.states import ECHO_NAMES, REPLYING, Mode, State
from serve_app.conversation.tool_messages import brought_up, pending, with_words_before
from serve_app.conversation.turn import Interrupted, Turn
from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.languages import AUTO
from serve_app.protocol.messages import Duck, ErrorNotice, ServerMessage, StateChanged, Transcript
from serve_app.protocol.tools import Tool

_SURE_OF_LANGUAGE_MS = 1000
"""Of a shorter utterance, such as "okay", the language is a guess: Whisper base took 0.6 s of
Spanish for French, and 1 s of it for what it was."""
_STALL_S = 2.0
"""A speaking client whose audio pauses for this long has stopped sending."""


class Floor:
    """One session. Whatever is done to it adds effects, which `take_effects` returns."""

    def __init__(self, settings: TurnSettings, new_token: Callable[[], str]) -> None:
        self.now_s = 0.0
        """Time of the event that is being handled."""
        self.state = State.CLOSED
        """As the event that is being handled found it; set by the machine alone."""
        self.mode = Mode.ATTACHED
        self.generation = 0
        """Number of the current turn; work for any other turn is dead."""
        self.history = History()
        self.times = TurnTimes()
        """Of the user's last turn."""
        self.wanted: frozenset[str] = frozenset()
        """The events that the client asked for."""
        self.is_resumable = False
        """The client may come back on another socket."""
        self.began_s = 0.0
        """When the session began, had it been on this socket all the time."""
        self.text_id = 0
        """The last number of a typed text that was taken."""
        self.recorded_text_id = 0
        """The last one that is in the history."""
        self.is_asked = False
        """The agent is to go on as soon as it can."""
        self.unseen: tuple[str, ...] = ()
        """The calls whose results have come since the agent was asked last."""
        self.own_voice = OwnVoice()
        self._given: tuple[OpenReply, ...] = ()
        self._new_token = new_token
        self._effects: list[Effect] = []
        self._received_at_stall = 0
        self.seat(settings)

    def seat(
        self,
        settings: TurnSettings,
        language: str = "",
        sound: Sound = ANY_SOUND,
        tools: tuple[Tool, ...] = (),
    ) -> None:
        """User and agent take their places: the conversation is about to begin."""
        self.settings = settings
        self.user = Listener(settings, language, self.do)
        self.agent = Delivery(settings, sound, self._new_token, self.do, self.notify, tools)
        if language != AUTO:
            self.agent.hear(language)

    @property
    def turn(self) -> Turn:
        """The open turn, where there must be one."""
        assert self.user.turn is not None
        return self.user.turn

    @property
    def reply(self) -> Playout:
        """The live reply, where there must be one."""
        assert self.agent.reply is not None
        return self.agent.reply

    # --- nobody has the floor ---

    def wait(self, after: Playout | None = None) -> State:
        """The user is asked once whether they are there: after that only the close is due. The
        agent may have been asked to go on."""
        self.user.close()
        if asked := self.go_on():
            return asked
        if self.mode in (Mode.DRAINING, Mode.EXPIRING):
            return self.stop()
        is_prompted = after is not None and after.is_idle_prompt
        if not is_prompted and not pending(self.history.chat):
            self.arm(Timer.IDLE_PROMPT, self.settings.idle_prompt_ms / 1000)
            self.arm(Timer.IDLE_CLOSE, self.settings.idle_close_ms / 1000)
        return State.WAITING

    def go_on(self) -> State | None:
        """The agent goes on with the results of tools, if it was asked to, and none is missing.
        Otherwise it still has to, as long as one is missing."""
        chat = self.history.chat
        if not self.is_asked or self.mode is Mode.DETACHED or pending(chat):
            return None
        if self.unseen and not self.history.awaits_reply:
            self.history.keep(brought_up(chat, self.unseen))
        if not self.history.awaits_reply:
            self.is_asked = False
            return None
        self.not_idle()
        self.times = TurnTimes.from_text(self.now_s)
        if self.state not in REPLYING:
            return self.ask()
        self.notify(StateChanged(State.WAITING), "state")  # between two replies
        state = self.ask()
        self.notify(StateChanged(ECHO_NAMES[state]), "state")
        return state

    # --- the user has it ---

    def listen(self) -> State:
        """A turn begins with the speech that is going on."""
        self.generation += 1
        self.user.open(self.generation)
        return self.take_floor()

    def listen_on(self) -> State:
        """What was said while the agent talked becomes a turn."""
        turn = self.turn
        if not turn.is_transcribed:
            self.user.reopen(turn)
        self.generation += 1
        self.user.renumber(turn, self.generation)
        return self.take_floor()

    def take_floor(self) -> State:
        """The user speaks, in the open turn."""
        self.not_idle()
        self.do(Disarm(Timer.HOLD))
        self.watch_audio()
        return State.LISTENING

    def watch_audio(self) -> None:
        """To be looked at again: whether audio has come since."""
        self._received_at_stall = self.user.received
        self.arm(Timer.STALL, _STALL_S)

    @property
    def is_stalled(self) -> bool:
        """Whether no audio has come since `watch_audio`."""
        return self.user.received <= self._received_at_stall

    def not_idle(self) -> None:
        """Somebody has something to say: nobody has to be asked whether they are there."""
        if self.settings.idle_prompt_ms or self.settings.idle_close_ms:
            self.do(Disarm(Timer.IDLE_PROMPT))
            self.do(Disarm(Timer.IDLE_CLOSE))

    def take_transcript(self, event: ev.Transcribed) -> bool:
        """Returns False when the segment is dead. The language of a short utterance is a guess."""
        turn = self.turn
        is_live = turn.take_transcript(event.segment, event.text, event.language)
        if is_live and turn.speech_ms >= _SURE_OF_LANGUAGE_MS:
            self.agent.hear(turn.language)
        return is_live

    def is_own_voice(self, turn: Turn) -> bool:
        """Whether the microphone heard the loudspeaker, as far as the turn is transcribed."""
        if not turn.is_over_agent:
            return False
        over = turn.displaced
        said = over.said if isinstance(over, Interrupted) else self.said_lately
        return is_own_voice(turn.text, said)

    @property
    def said_lately(self) -> str:
        """The agent's last words."""
        said, reply = self.history.last_words, self.agent.reply
        return f"{said} {reply.heard_by_now(self.now_s)}" if reply else said

    def take_failure(self, event: ev.TranscriptionFailed) -> None:
        """A segment that could not be transcribed says nothing."""
        if self.turn.take_transcript(event.segment, ""):
            self.tell_error("stt", event.message)

    def commit_turn(self, text: str, language: str = "") -> None:
        """The user has said this, and typed all that was taken."""
        self.recorded_text_id = self.text_id
        self._given = ()
        self.history.add_user(text)
        self.history.keep(newest_within(self.history.chat, self.settings.history_tokens))
        self.record()
        self.notify(Transcript(self.generation, "user", text, language), "transcript")

    # --- the agent has it ---

    def ask(self, chat: tuple[ChatMessage, ...] = ()) -> State:
        """The agent answers what is in the history, or `chat`."""
        self.is_asked, self.unseen = False, ()
        self.agent.ask(self.generation, chat or self.history.chat)
        return self.give_reply()

    def ask_for_the_rest(self) -> None:
        """Has the agent write what comes after all that there is of the reply."""
        chat, said = self.history.chat, self.reply.text
        if said:
            chat = self.history.after_words(said, self.settings.continuation)
        elif not self.history.awaits_reply:
            chat = self.history.with_user(self.settings.continuation)
        self.agent.go_on(self.generation, chat)

    def say(self, text: str) -> State:
        """The agent speaks these words."""
        self.agent.say(self.generation, text)
        return self.give_reply()

    def give_reply(self) -> State:
        """The reply that there is, or will be, is the one that the user hears."""
        self.agent.commit()
        return self.send_on()

    def send_on(self) -> State:
        """Sends what is due of the reply, which may be over with that."""
        return self.finish_if_played(self.output())

    def output(self) -> State:
        """Sends what is due of the reply."""
        reply = self.reply
        self.agent.send(self.generation, self.now_s)
        if reply.is_started and not reply.is_measured:
            reply.is_measured = True
            self.notify(self.times.metrics(self.generation, reply, self.now_s), "metrics")
        self.record_reply()
        is_begun = reply.is_started or reply.is_taken_back
        return State.SPEAKING if is_begun else State.PREPARING

    def keep_back(self) -> State:
        """Sends nothing while the output is held. What was sent is still being played."""
        self.agent.watch_playback(self.generation, self.now_s)
        self.record_reply()
        return State.HELD

    def silence(self, all_of_it: bool) -> None:
        """The agent falls silent, and may go on later with what was not heard of its reply."""
        heard = self.agent.silence(self.now_s, all_of_it)
        self._given = ()
        self.commit_heard(heard, self.reply.call_id)

    def record_reply(self) -> None:
        """So that a client which comes back is told the rest."""
        if self.is_resumable and self.reply.is_started and not self.reply.is_recorded:
            self.record()

    def finish_if_played(self, otherwise: State) -> State:
        """The floor is free once all of the reply was made, sent and played."""
        is_played = self.reply.is_sent and not self.reply.remaining_s(self.now_s)
        return self.finish_reply() if is_played else otherwise

    def finish_reply(self) -> State:
        """The reply was played. A user who spoke meanwhile has the floor next."""
        self.reply.ran_dry(self.now_s)
        given = self.agent.record(self.now_s)
        return self.pass_on(self.end_reply((*self._given, given) if given else self._given))

    def pass_on(self, reply: Playout) -> State:
        """The reply is over. A user who spoke meanwhile has the floor next."""
        if self.user.has_spoken:
            return self.listen_on()
        self.do(Disarm(Timer.HOLD))
        return self.wait(after=reply)

    def end_reply(self, given: tuple[OpenReply, ...] = ()) -> Playout:
        """Commits what was heard of the reply. `given`: the replies that were sent whole."""
        self._given = given
        reply = self.agent.end()
        self.commit_heard(reply.heard(self.now_s), reply.call_id)
        return reply

    def commit_heard(self, text: str, call_id: str = "") -> None:
        """The user has heard the agent say this; empty is nothing. `call_id`: see OpenReply."""
        if text and call_id:
            self.history.keep(with_words_before(self.history.chat, call_id, text))
        elif text:
            self.history.add_assistant(text)
        self.record()
        if text:
            self.notify(Transcript(self.generation, "agent", text), "transcript")

    # --- the end ---

    def leave(self) -> State:
        """Nobody is there to answer."""
        self.do(Cancel(self.generation))
        return self.end(CloseCode.GONE, "the client is gone")

    def stop(self) -> State:
        """The server will not go on, or the session has had its time."""
        if self.mode is Mode.EXPIRING:
            return self.expire()
        return self.end(CloseCode.STOPPING, "the server is about to stop: connect again")

    def expire(self) -> State:
        """The session has had its time."""
        limit_s = self.settings.max_session_s
        return self.end(CloseCode.TIME_IS_UP, f"a session may last for {limit_s} s: open a new one")

    def end(self, code: CloseCode, reason: str) -> State:
        """Closes the socket. What the client may come back to is up to date."""
        if self.is_resumable and code.may_come_back:
            self.record()
        self.do(CloseSocket(code, reason))
        return State.ENDED

    # --- effects ---

    def do(self, effect: Effect) -> None:
        self._effects.append(effect)

    def take_effects(self) -> list[Effect]:
        """What is to be done, in order. Afterwards there is nothing left to do."""
        effects, self._effects = self._effects, []
        return effects

    def arm(self, timer: Timer, seconds: float) -> None:
        """A timer of the current turn; 0 seconds is none."""
        if seconds:
            self.do(Arm(timer, self.generation, seconds))

    def record(self) -> None:
        """Writes down what the conversation needs to go on elsewhere."""
        reply = self.agent.record(self.now_s) if self.is_resumable else None
        chat, tokens = self.history.chat, self.agent.tokens_issued
        self.do(
            Record(
                chat,
                self.generation,
                tokens,
                reply,
                self.user.understood_until,
                lasted_s=self.now_s - self.began_s,
                text_id=self.recorded_text_id,
                given=self._given if self.is_resumable else (),
                language=self.agent.language,
            )
        )

    def tell_state(self, before: State, now: State) -> None:
        """The state has changed: as the client knows it, or by a hold, during which the client
        lowers the agent's voice."""
        if ECHO_NAMES[now] != ECHO_NAMES[before]:
            self.notify(StateChanged(ECHO_NAMES[now]), "state")
        if State.HELD in (before, now) and now is not before:
            self.notify(Duck(now is State.HELD), "duck")

    def tell_error(self, stage: str, message: str) -> None:
        self.notify(ErrorNotice(self.generation, stage, message), "error")

    def notify(self, message: ServerMessage, event: str) -> None:
        """Tells the client, if it asked for such events."""
        if event in self.wanted:
            self.do(Send(message))
