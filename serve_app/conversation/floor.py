"""What a conversation is at a moment, and how the floor is given from one to the other.

    wait ──▶ listen ──▶ commit_turn ──▶ ask, say ──▶ finish_reply ──▶ wait, listen_on

`Listener` is the user's side (audio, voice, the open turn), `Delivery` the agent's (token, reply,
playback). What is decided between the two is decided here and in the handlers of the events,
which all take the floor as their first argument.
"""

from collections.abc import Callable

from serve_app.conversation import events as ev
from serve_app.conversation.delivery import Delivery
from serve_app.conversation.effects import Arm, Cancel, CloseSocket, Disarm, Effect, Send
from serve_app.conversation.events import Timer
from serve_app.conversation.history import ChatMessage, History, Record
from serve_app.conversation.listener import Listener
from serve_app.conversation.metrics import TurnTimes
from serve_app.conversation.piece import Piece
from serve_app.conversation.playout import Playout
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.conversation.states import State
from serve_app.conversation.turn import Turn
from serve_app.protocol.messages import ErrorNotice, ServerMessage, StateChanged, Transcript

GONE = 1001
STOPPING = 1012
_STALL_S = 2.0
"""A speaker's audio that has not come for so long will not come."""


class Floor:
    """One session's state. Everything that is done to it adds effects; `take_effects` has them."""

    def __init__(self, settings: TurnSettings, new_token: Callable[[], str]) -> None:
        self.now_s = 0.0
        """Time of the event that is being handled."""
        self.state = State.CLOSED
        self.generation = 0
        """Number of the current turn; work of any other is dead."""
        self.history = History()
        self.times = TurnTimes()
        """Of the last turn of the user."""
        self.cut_off: list[Piece] = []
        """What was not heard of the reply that the current turn interrupted."""
        self.wanted: frozenset[str] = frozenset()
        """The events that the client asked for."""
        self.is_resumable = False
        """The client may come back when it is lost."""
        self.is_over = False
        """The socket is closed: nothing is taken any more."""
        self.is_detached = False
        """The client is gone, and the last turn is brought to a record."""
        self.is_draining = False
        """The server is going to stop."""
        self.is_idle = False
        """The user was asked whether they are there, and has not said anything since."""
        self.owes_reply = False
        """A reply was withdrawn before it was heard, so that even noise has to be answered."""
        self._new_token = new_token
        self._effects: list[Effect] = []
        self._received_at_stall = 0
        self.seat(settings)

    def seat(self, settings: TurnSettings, language: str = "", sound: Sound = ANY_SOUND) -> None:
        """User and agent take their places: the conversation is going to begin."""
        self.settings = settings
        self.user = Listener(settings, language, self.do)
        self.agent = Delivery(settings, sound, self._new_token, self.do)

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

    def wait(self) -> None:
        self.state = State.WAITING
        self.user.close()
        if self.is_draining:
            self.stop()
        elif not self.is_idle:
            self.arm(Timer.IDLE_PROMPT, self.settings.idle_prompt_ms / 1000)
            self.arm(Timer.IDLE_CLOSE, self.settings.idle_close_ms / 1000)

    # --- the user has it ---

    def listen(self) -> None:
        """A turn begins with the speech that is going on."""
        self.generation += 1
        self.user.open(self.generation)
        self.take_floor()

    def listen_on(self) -> None:
        """What was said while the agent talked is a turn."""
        turn = self.turn
        if not turn.is_complete:
            self.user.reopen(turn)
        self.generation += 1
        turn.generation = self.generation
        self.take_floor()

    def take_floor(self) -> None:
        """The user speaks, in the open turn."""
        self.not_idle()
        self.do(Disarm(Timer.HOLD))
        self.state = State.LISTENING
        self.watch_audio()

    def watch_audio(self) -> None:
        self._received_at_stall = self.user.received
        self.arm(Timer.STALL, _STALL_S)

    @property
    def is_stalled(self) -> bool:
        """Whether no audio has come since `watch_audio`."""
        return self.user.received <= self._received_at_stall

    def not_idle(self) -> None:
        """The user has said something."""
        self.is_idle = False
        if self.settings.idle_prompt_ms or self.settings.idle_close_ms:
            self.do(Disarm(Timer.IDLE_PROMPT))
            self.do(Disarm(Timer.IDLE_CLOSE))

    def settle_failure(self, event: ev.TranscriptionFailed) -> None:
        """A segment that could not be transcribed says nothing."""
        if self.turn.settle(event.segment, ""):
            self.tell_error("stt", event.message)

    def commit_turn(self, text: str) -> None:
        self.cut_off = []
        self.history.add_user(text)
        self.record()
        self.notify(Transcript(self.generation, "user", text), "transcript")

    # --- the agent has it ---

    def ask(self, chat: tuple[ChatMessage, ...] = ()) -> None:
        """The agent answers what is in the history, or `chat`."""
        self.agent.ask(self.generation, chat or self.history.chat)
        self.give_reply()

    def say(self, text: str) -> None:
        """The agent speaks these words."""
        self.agent.say(self.generation, text)
        self.give_reply()

    def give_reply(self) -> None:
        """The reply that there is, or will be, is the one that the user hears."""
        self.owes_reply = False
        self.state = State.REPLYING
        self.agent.commit()
        self.output()
        self.finish_if_played()

    def output(self) -> None:
        """Sends what is due of the reply."""
        reply = self.reply
        was_started = reply.is_started
        self.agent.send(self.generation, self.now_s)
        if reply.is_started and not was_started:
            self.notify(self.times.metrics(self.generation, reply, self.now_s), "metrics")
        if self.is_resumable and reply.is_started and not reply.is_recorded:
            self.record()

    def finish_if_played(self) -> None:
        if self.reply.is_sent and not self.reply.remaining_s(self.now_s):
            self.finish_reply()

    def finish_reply(self) -> None:
        """The reply was played, and who spoke meanwhile has the floor next."""
        self.reply.ran_dry(self.now_s)
        self.end_reply()
        turn = self.user.turn
        if turn is not None and turn.speech_ms >= self.settings.min_speech_ms:
            self.listen_on()
        else:
            self.do(Disarm(Timer.HOLD))
            self.wait()

    def end_reply(self) -> list[Piece]:
        """Commits what was heard of the reply, and returns what was not."""
        reply = self.agent.end()
        self.commit_heard(reply.heard(self.now_s))
        return reply.unheard(self.now_s)

    def commit_heard(self, text: str) -> None:
        """The user has heard the agent say this; empty is nothing."""
        if text:
            self.history.add_assistant(text)
        self.record()
        if text:
            self.notify(Transcript(self.generation, "agent", text), "transcript")

    # --- the end ---

    def leave(self) -> None:
        self.do(Cancel(self.generation))
        self.end(GONE, "the client is gone")

    def stop(self) -> None:
        self.end(STOPPING, "the server is going to stop: connect again")

    def end(self, code: int, reason: str) -> None:
        self.do(CloseSocket(code, reason))
        self.is_over = True

    # --- effects ---

    def do(self, effect: Effect) -> None:
        self._effects.append(effect)

    def take_effects(self) -> list[Effect]:
        """What is to be done, in order; from here on there is nothing."""
        effects, self._effects = self._effects, []
        return effects

    def arm(self, timer: Timer, seconds: float) -> None:
        """A timer of the current turn; 0 is none."""
        if seconds:
            self.do(Arm(timer, self.generation, seconds))

    def record(self) -> None:
        reply = self.agent.record(self.now_s) if self.is_resumable else None
        chat, tokens = self.history.chat, self.agent.tokens_issued
        self.do(Record(chat, self.generation, tokens, reply, self.user.settled_at))

    def tell_state(self) -> None:
        self.notify(StateChanged(self.state), "state")

    def tell_error(self, stage: str, message: str) -> None:
        self.notify(ErrorNotice(self.generation, stage, message), "error")

    def notify(self, message: ServerMessage, event: str) -> None:
        """Tells the client, if it asked for such events."""
        if event in self.wanted:
            self.do(Send(message))
