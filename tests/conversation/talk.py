"""A conversation in tests: says what the user does and what the models answer, in no time."""

from collections.abc import Iterable
from itertools import count
from typing import Any, TypeVar

import numpy as np

from serve_app.agent.engines import Speech
from serve_app.agent.speaker import pieces
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.machine import Conversation
from serve_app.conversation.settings import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, TurnSettings
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import EVENTS, ServerMessage, StateChanged

_VOICE = parse_format("pcm_16000")

E = TypeVar("E", bound=ef.Effect)
M = TypeVar("M", bound=ServerMessage)


SETTINGS = TurnSettings(
    min_speech_ms=96,
    pre_roll_ms=320,
    soft_end_ms=192,
    judge_silence_ms=256,
    end_silence_ms=400,
    likely_silence_ms=400,
    sentence_silence_ms=1600,
    max_silence_ms=1600,
    max_drafts=0,
    silence_speech_ms=416,
    interrupt_speech_ms=416,
)
"""Fixed, so that tuning the defaults changes no test."""
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ


class Talk:
    """Drives a Conversation in virtual time and keeps every effect. Timers go off by themselves,
    and every turn is judged complete; what other models answer is said by the test."""

    def __init__(
        self, settings: TurnSettings | None = None, events: Iterable[str] = EVENTS
    ) -> None:
        numbers = count(1)
        self.machine = Conversation(settings or SETTINGS, lambda: f"token{next(numbers):03}")
        self.effects: list[ef.Effect] = []
        self.events = frozenset(events)
        self.now_s = 0.0
        self.timers: dict[ev.Timer, tuple[float, ev.Expired]] = {}

    # --- what happens ---

    def do(self, event: ev.Event) -> list[ef.Effect]:
        new = self.machine.handle(event, self.now_s)
        self.effects += new
        for effect in new:
            if isinstance(effect, ef.Arm):
                expired = ev.Expired(effect.generation, effect.timer)
                self.timers[effect.timer] = (self.now_s + effect.seconds, expired)
            elif isinstance(effect, ef.Disarm):
                self.timers.pop(effect.timer, None)
            elif isinstance(effect, ef.JudgeTurn):
                self.do(ev.TurnJudged(effect.generation, effect.segment, complete=1.0))
        return new

    def wait(self, seconds: float) -> None:
        """Time passes, with no audio from the user."""
        until_s = self.now_s + seconds
        while self.timers:
            at_s, expired = min(self.timers.values(), key=lambda due: due[0])
            if at_s > until_s:
                break
            del self.timers[expired.timer]
            self.now_s = max(self.now_s, at_s)
            self.do(expired)
        self.now_s = until_s

    def open(self, prompt: str = "Be kind.", **options: Any) -> None:
        self.do(ev.Opened(prompt, self.events, **options))

    def hear(self, ms: int, probability: float) -> None:
        """The user's audio, judged at once. Each frame holds its own number."""
        for _ in range(round(ms / FRAME_MS)):
            self.wait(FRAME_S)
            number = self.received // FRAME_SAMPLES
            self.do(ev.AudioReceived(np.full(FRAME_SAMPLES, number, dtype=np.float32)))
            self.do(ev.VoiceActivity(probability))

    def speech(self, ms: int) -> None:
        self.hear(ms, 0.9)

    def silence(self, ms: int) -> None:
        self.hear(ms, 0.05)

    def transcript(self, text: str) -> None:
        asked = self.last(ef.Transcribe)
        self.do(ev.Transcribed(asked.generation, asked.segment, text))

    @property
    def reply(self) -> tuple[int, int]:
        """Generation and number of the last reply."""
        asked = [e for e in self.effects if isinstance(e, ef.Reply | ef.Say)][-1]
        return asked.generation, asked.reply

    def says(self, text: str, seconds: float) -> None:
        """The agent's voice for a text, made at once, in pieces of at most half a second."""
        self.do(ev.ReplyBegan(*self.reply))
        audio = b"\1\0" * round(seconds * SAMPLE_RATE_HZ)
        for piece in pieces(Speech(audio, text), _VOICE):
            self.do(ev.ReplyAudio(*self.reply, piece))

    def reply_ends(self) -> None:
        self.do(ev.ReplyEnded(*self.reply))

    def greet(self, text: str = "Hello there.") -> None:
        """Through the whole greeting, so that the agent waits for the user."""
        self.open()
        self.says(text, 1.0)
        self.reply_ends()
        self.silence(1024)
        self.do(ev.PlaybackWaiting())

    def ask(self, text: str = "What is this?") -> None:
        """A whole user turn up to the request for a reply."""
        self.speech(960)
        self.silence(480)
        self.transcript(text)

    # --- what came of it ---

    @property
    def received(self) -> int:
        return sum(len(e.samples) for e in self.effects if isinstance(e, ef.Detect))

    def all(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def last(self, kind: type[E]) -> E:
        return self.all(kind)[-1]

    def sent(self, kind: type[M]) -> list[M]:
        return [e.message for e in self.all(ef.Send) if isinstance(e.message, kind)]

    def states(self) -> list[str]:
        """Those that the client was told of."""
        return [message.state for message in self.sent(StateChanged)]

    def chat(self) -> list[tuple[str, str]]:
        """The history that the last reply was asked with."""
        return [(message.role, message.content) for message in self.last(ef.Reply).chat]
