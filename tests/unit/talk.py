"""A conversation in tests: says what the user does and what the models answer, in no time."""

from collections.abc import Iterable
from itertools import count
from typing import TypeVar

import numpy as np

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.machine import Conversation
from serve_app.conversation.settings import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, TurnSettings
from serve_app.protocol.messages import EVENTS, ServerMessage

E = TypeVar("E", bound=ef.Effect)
M = TypeVar("M", bound=ServerMessage)


SETTINGS = TurnSettings(
    min_speech_ms=96,
    interrupt_speech_ms=224,
    soft_end_ms=192,
    end_silence_ms=400,
    pre_roll_ms=320,
)
"""Fixed, so that tuning the defaults changes no test."""


class Talk:
    """Drives a Conversation and keeps every effect."""

    def __init__(
        self, settings: TurnSettings | None = None, events: Iterable[str] = EVENTS
    ) -> None:
        numbers = count(1)
        self.machine = Conversation(settings or SETTINGS, lambda: f"token{next(numbers):03}")
        self.effects: list[ef.Effect] = []
        self.events = frozenset(events)

    # --- what happens ---

    def do(self, event: ev.Event) -> list[ef.Effect]:
        new = self.machine.handle(event)
        self.effects += new
        return new

    def open(self, prompt: str = "Be kind.") -> None:
        self.do(ev.Opened(prompt, self.events))

    def hear(self, ms: int, probability: float) -> None:
        """The user's audio, judged at once. Each frame holds its own number."""
        for _ in range(round(ms / FRAME_MS)):
            number = self.received // FRAME_SAMPLES
            self.do(ev.AudioReceived(np.full(FRAME_SAMPLES, number, dtype=np.float32)))
            self.do(ev.VoiceActivity(probability))

    def speech(self, ms: int) -> None:
        self.hear(ms, 0.9)

    def silence(self, ms: int) -> None:
        self.hear(ms, 0.05)

    def transcript(self, text: str, elapsed_ms: float = 80.0) -> None:
        asked = self.last(ef.Transcribe)
        self.do(ev.Transcribed(asked.generation, asked.segment, text, elapsed_ms))

    def says(self, text: str, seconds: float, elapsed_ms: float = 300.0) -> None:
        """The agent's voice for a text."""
        generation = self.last(ef.Reply).generation
        self.do(ev.ReplyText(generation, text, elapsed_ms - 100))
        audio = b"\1\0" * round(seconds * SAMPLE_RATE_HZ)
        self.do(ev.ReplyAudio(generation, audio, text, seconds, elapsed_ms))

    def reply_ends(self) -> None:
        self.do(ev.ReplyEnded(self.last(ef.Reply).generation))

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

    def chat(self) -> list[tuple[str, str]]:
        """The history that the last reply was asked with."""
        return [(message.role, message.content) for message in self.last(ef.Reply).chat]
