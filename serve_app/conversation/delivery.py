"""The agent's side of a conversation: one reply at most, sent as it is played."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from serve_app.conversation.budget import newest_within
from serve_app.conversation.calls import MOST_ROUNDS, NO_OFFER, Offer
from serve_app.conversation.effects import Arm, CancelReply, Disarm, Effect, Reply, Say, Send
from serve_app.conversation.events import Timer
from serve_app.conversation.history import ChatMessage, told
from serve_app.conversation.open_reply import OpenReply
from serve_app.conversation.piece import Piece
from serve_app.conversation.playout import Playout
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.sound import Sound
from serve_app.conversation.tool_messages import rounds
from serve_app.protocol.languages import ENGLISH, LANGUAGES
from serve_app.protocol.messages import AgentAudio, Caption, Interrupt, ServerMessage, Token
from serve_app.protocol.tools import Tool

_SLACK_S = 0.5
"""A client's `waiting` counts as the end of a reply when no more than this is left to play. A
client that says nothing is given this much time beyond the end of the reply."""
TURN_END_S = 1.0
"""Whatever the user says this shortly before the agent has finished is an answer to it."""


class Delivery:
    """Owns the token and the reply that carries it."""

    def __init__(
        self,
        settings: TurnSettings,
        sound: Sound,
        new_token: Callable[[], str],
        do: Callable[[Effect], None],
        notify: Callable[[ServerMessage, str], None],
        tools: tuple[Tool, ...] = (),
    ) -> None:
        """`tools`: what the agent may ask the client to do."""
        self._tools = tools
        self._lead_s = settings.lead_ms / 1000
        self._history_tokens = settings.history_tokens
        self._language_prompt = settings.language_prompt
        self._sound = sound
        self.only_writes = sound.is_text
        """Its replies have no sound: what is sent is read at once."""
        self._new_token = new_token
        self._do = do
        self._notify = notify
        self._token_is_fresh = False
        self.is_silenced = False
        """The client was told to stop, and was sent nothing since then."""
        self._replies = 0
        self.token = ""
        self.tokens_issued = 0
        self.reply: Playout | None = None
        self.language = ""
        """What the user speaks, as a code; empty while that is English, or not known."""

    def hear(self, language: str) -> None:
        """The user speaks this; an empty code is not known. The LLM is told, but nothing is said of
        English as long as no other language was heard: prompts are written in it."""
        if language and (language != ENGLISH or self.language):
            self.language = language

    # --- beginning ---

    def ask(self, generation: int, chat: tuple[ChatMessage, ...]) -> None:
        """Asks the agent for a reply."""
        self.drop(generation)
        self._ask(generation, self._new_reply(), chat)

    def draft(self, generation: int, chat: tuple[ChatMessage, ...], answers: str) -> None:
        """Asks the agent for a reply to `answers`, which may not be all of the turn."""
        self.drop(generation)
        self._ask(generation, self._new_reply(answers), chat, is_draft=True)

    def say(self, generation: int, text: str) -> None:
        """Asks the voice for a reply whose words are known."""
        reply = self._new_reply()
        reply.is_scripted = True
        self._do(Say(generation, reply.number, text, self._sound_now))

    def apologise(self, generation: int, reply: Playout, text: str) -> None:
        """The reply failed and goes on with an apology."""
        reply.is_apology = reply.is_scripted = True
        self._do(Say(generation, reply.number, text, self._sound_now))
        reply.begin_text()

    def go_on(self, generation: int, chat: tuple[ChatMessage, ...]) -> None:
        """Asks the agent for the rest of a reply that it has begun. What was said stays."""
        assert self.reply is not None
        self.reply.begin_text()
        self._replies += 1
        self.reply.number = self._replies
        self._ask(generation, self.reply, chat)

    def repeat(
        self, pieces: Sequence[Piece], is_all: bool, now_s: float, call_id: str = ""
    ) -> None:
        """Goes on with a reply that was interrupted by mere noise."""
        reply = self._new_reply()
        reply.call_id = call_id
        for piece in pieces:
            reply.add(piece, now_s)
        reply.is_written = is_all
        reply.is_stopped_easily = True

    def commit(self) -> None:
        """The reply is given: its token is announced, unless `interrupt` has done so."""
        if not self._token_is_fresh:
            self._issue_token()
            self._do(Send(Token(self.token)))

    # --- going on ---

    def send(self, generation: int, now_s: float) -> None:
        """Sends what is due, and arms a timer for what comes next, unless the client is behind:
        then the next `Backlog` is waited for."""
        reply = self.reply
        assert reply is not None
        for piece in reply.take(now_s, self._lead_s):
            if piece.text:
                self._notify(Caption(generation, piece.text), "caption")
            if piece.audio:
                self._token_is_fresh = self.is_silenced = reply.is_withdrawn = False
                self._do(Send(AgentAudio(self.token, piece.audio)))
        due_s = reply.due_in_s(now_s, self._lead_s)
        if reply.is_behind:
            return
        if due_s is not None:
            self._do(Arm(Timer.OUTPUT, generation, due_s))
        else:
            self.watch_playback(generation, now_s)

    def watch_playback(self, generation: int, now_s: float) -> None:
        """Arms a timer for the end of the playback, once all of the reply was sent."""
        reply = self.reply
        assert reply is not None
        if reply.is_sent and not reply.is_behind and (left_s := reply.remaining_s(now_s)):
            self._do(Arm(Timer.PLAYBACK, generation, left_s + _SLACK_S))

    def hold(self) -> None:
        """Nothing is sent until `send` is called again."""
        self._do(Disarm(Timer.OUTPUT))

    def ran_dry(self, now_s: float) -> None:
        """The client has nothing to play. If much is left to play, it said so before that had
        arrived."""
        if self.reply is not None and self.reply.remaining_s(now_s) <= _SLACK_S:
            self.reply.ran_dry(now_s)

    def is_ending(self, now_s: float) -> bool:
        """Whether the agent is saying its last words."""
        reply = self.reply
        return reply is not None and reply.is_written and reply.unplayed_s(now_s) <= TURN_END_S

    def record(self, now_s: float) -> OpenReply | None:
        """What is known of the reply that the user may be hearing."""
        if self.reply is None or not (self.reply.is_started or self.reply.is_taken_back):
            return None
        return self.reply.record(self.token, now_s)

    # --- ending ---

    def silence(self, now_s: float, all_of_it: bool) -> str:
        """The client stops. What it has not played, or all of the reply, waits to be said again.
        Returns the words that stay said."""
        assert self.reply is not None
        self.interrupt()
        self.is_silenced = True
        self._do(Disarm(Timer.PLAYBACK))
        return self.reply.take_back(now_s, all_of_it)

    def interrupt(self) -> None:
        """From here on, audio with the old token is dead."""
        if not self.is_silenced:
            self._issue_token()
            self._do(Send(Interrupt(self.token)))

    def drop(self, generation: int) -> None:
        """Takes a draft back, wherever it is being made."""
        if self.reply is not None:
            if not self.reply.is_written:
                self._do(CancelReply(generation, self.reply.number))
            self.reply = None

    def end(self) -> Playout:
        """The reply is over."""
        reply = self.reply
        assert reply is not None
        self.reply = None
        self.is_silenced = False
        self._do(Disarm(Timer.OUTPUT))
        self._do(Disarm(Timer.PLAYBACK))
        return reply

    def _ask(
        self,
        generation: int,
        reply: Playout,
        chat: tuple[ChatMessage, ...],
        is_draft: bool = False,
    ) -> None:
        chat = newest_within(told(chat, self._language_line), self._history_tokens)
        offer = Offer(self._tools, rounds(chat) < MOST_ROUNDS) if self._tools else NO_OFFER
        self._do(Reply(generation, reply.number, chat, self._sound_now, is_draft, offer))

    @property
    def _sound_now(self) -> Sound:
        return replace(self._sound, language=self.language)

    @property
    def _language_line(self) -> str:
        name = LANGUAGES.get(self.language, "").title()
        return self._language_prompt.replace("{language}", name) if name else ""

    def _new_reply(self, answers: str = "") -> Playout:
        self._replies += 1
        self.reply = Playout(self._replies, answers)
        return self.reply

    def _issue_token(self) -> None:
        self.token = self._new_token()
        self._token_is_fresh = True
        self.tokens_issued += 1
