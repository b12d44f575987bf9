"""Random conversations, seeded: whatever the user, the models, the client and the clock do.

`bench.same_conversations` also runs this with older versions of the conversation. So it uses
nothing but their events and effects.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from itertools import count
from random import Random
from typing import Any

import numpy as np

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.machine import Conversation
from serve_app.conversation.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ, TurnSettings
from serve_app.protocol.messages import EVENTS

STEPS = 80
SETTINGS = TurnSettings(
    max_utterance_ms=3200,
    hold_ms=600,
    idle_prompt_ms=4000,
    idle_close_ms=6000,
    partial_ms=400,
)
TEXTS = ("", "Yes.", "Go on.", "go on", "(noise)", "No, stop it.", "yeah")
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ


class Walk:
    """One conversation: whatever the user, the models, the client and the clock do."""

    settings = SETTINGS

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._tokens = count(1)
        self._now_s = 0.0
        self._samples = 0
        self._asked: list[Any] = []
        self._timers: dict[ev.Timer, tuple[float, ev.Expired]] = {}
        self._record: Any = None
        self._token = ""
        self._is_clock_true = self._random.random() < 0.7
        self.log: list[list[Any]] = []
        self._begin()

    def run(self, closes: bool = True) -> list[list[Any]]:
        """Every event and its effects, in order."""
        self._open()
        steps = self._steps()
        for _ in range(STEPS):
            self._random.choice(steps)()
        if closes:
            self._do(ev.CloseRequested())
        return self.log

    def _begin(self) -> None:
        self._machine = Conversation(self.settings, lambda: f"token{next(self._tokens):03}")
        self._asked, self._timers, self._samples = [], {}, 0

    def _steps(self) -> list[Callable[[], None]]:
        def weighted(weight: int, step: Callable[[], None]) -> list[Callable[[], None]]:
            return [step] * weight

        return [
            *weighted(8, self._sound),
            *weighted(3, self._short_sound),
            *weighted(6, self._answer),
            *weighted(6, self._speak),
            *weighted(3, self._end_reply),
            *weighted(2, self._wait),
            *weighted(1, self._nobody_there),
            *weighted(2, self._client),
            *weighted(1, self._expire_any),
            *weighted(2, self._fail),
            self._rarely,
        ]

    # --- what happens ---

    def _open(self) -> None:
        if self._random.random() < 0.05:
            self._do(
                self._random.choice(
                    [
                        ev.Expired(timer=ev.Timer.OPEN, generation=0),
                        ev.Opened("Be kind.", turn={"no_such_setting": 1}),
                        ev.CloseRequested(),
                        ev.Disconnected(),
                        ev.Draining(60.0),
                    ]
                )
            )
        greeting = self._random.choice([None, "", "Hi."])
        is_resumable = self._random.random() < 0.5
        self._do(ev.Opened("Be kind.", EVENTS, greeting, is_resumable=is_resumable))
        if self._random.random() < 0.15:
            self._do(ev.Draining(5.0))

    def _sound(self) -> None:
        self._frames(self._random.randint(1, 20), self._random.choice([0.0, 0.0, 0.4, 0.9, 0.9]))

    def _short_sound(self) -> None:
        """Such as "yeah" or a cough."""
        self._frames(self._random.randint(2, 10), 0.9)
        self._frames(self._random.randint(2, 10), 0.0)

    def _frames(self, frames: int, probability: float) -> None:
        for _ in range(frames):
            self._pass(FRAME_S)
            first = self._samples
            self._samples += FRAME_SAMPLES
            self._do(ev.AudioReceived(np.arange(first, self._samples, dtype=np.float32)))
            self._do(ev.VoiceActivity(probability))

    def _answer(self) -> None:
        """A model that listens says something, most often about what was asked last."""
        kinds = (ef.Transcribe, ef.TranscribePart, ef.JudgeTurn)
        if not (asked := self._recent(kinds)):
            return
        text = self._random.choice(TEXTS)
        where = (asked.generation, asked.segment)
        if isinstance(asked, ef.JudgeTurn):
            self._do(ev.TurnJudged(*where, self._random.choice([None, 0.1, 0.9, 0.9])))
        elif isinstance(asked, ef.TranscribePart):
            self._do(ev.PartTranscribed(*where, text))
        elif self._random.random() < 0.1:
            self._do(ev.TranscriptionFailed(*where, "late"))
        else:
            self._do(ev.Transcribed(*where, text))

    def _speak(self) -> None:
        if asked := self._recent((ef.Reply, ef.Say)):
            seconds = self._random.choice([0.0, 0.1, 0.5, 0.5, 1.0])
            audio = b"\0\0" if seconds else b""
            self._do(ev.ReplyBegan(asked.generation, asked.reply))
            self._do(_audio(asked.generation, asked.reply, audio, "words ", seconds))

    def _end_reply(self) -> None:
        if asked := self._recent((ef.Reply, ef.Say)):
            if self._random.random() < 0.5:
                self._do(_audio(asked.generation, asked.reply, b"", " ...", 0.0))
            self._do(ev.ReplyEnded(asked.generation, asked.reply))

    def _fail(self) -> None:
        if not (asked := self._recent((ef.Reply, ef.Say))):
            return
        where = (asked.generation, asked.reply)
        if isinstance(asked, ef.Reply) and asked.is_draft:
            self._do(ev.DraftDeclined(*where))
        elif self._random.random() < 0.5:
            stage = self._random.choice(["llm", "tts", "agent"])
            self._do(ev.ReplyFailed(*where, stage, "no"))

    def _wait(self) -> None:
        self._pass(self._random.choice([0.05, 0.3, 1.0, 3.0]))

    def _nobody_there(self) -> None:
        """Until the agent asks, and perhaps while it does."""
        self._pass(SETTINGS.idle_prompt_ms / 1000)
        self._speak()
        self._frames(self._random.randint(0, 3), 0.9)
        self._pass(self._random.choice([0.1, 2.0]))

    def _client(self) -> None:
        event = self._random.choice(
            [
                ev.PlaybackWaiting(),
                ev.Played(self._token, self._random.uniform(0, 3000)),
                ev.TextReceived("Wait."),
                ev.InterruptRequested(),
            ]
        )
        self._do(event)

    def _expire_any(self) -> None:
        if self._timers and not self._is_clock_true:
            timer = self._random.choice(sorted(self._timers))
            self._do(self._timers.pop(timer)[1])

    def _rarely(self) -> None:
        """The server drains, the socket is lost, or the process is killed; and a client returns."""
        what = self._random.random()
        if what < 0.3:
            self._do(ev.Draining(self._random.choice([5.0, 60.0])))
        elif what < 0.45:
            self._do(ev.Disconnected())
        elif what < 0.55:
            self._do(ev.CloseRequested())
        if self._record is None or (what < 0.3 and self._random.random() < 0.5) or what > 0.8:
            return
        record, played = self._record, None
        if record.reply is not None:
            played = ev.Played(record.reply.token, self._random.uniform(0, 3000))
        self._begin()
        self._do(ev.Opened("", EVENTS, is_resumable=True, record=record, played=played))

    # --- the world around it ---

    def _recent(self, kinds: tuple[type, ...]) -> Any:
        asked = [effect for effect in self._asked if isinstance(effect, kinds)]
        back = self._random.choice([1, 1, 1, 1, 2, 3])
        return asked[-back] if len(asked) >= back else None

    def _pass(self, seconds: float) -> None:
        """Time passes; where the clock is true, timers that are due go off."""
        until_s = self._now_s + seconds
        while self._is_clock_true and self._timers:
            at_s, expired = min(self._timers.values(), key=lambda due: (due[0], due[1].timer))
            if at_s > until_s:
                break
            del self._timers[expired.timer]
            self._now_s = max(self._now_s, at_s)
            self._do(expired)
        self._now_s = until_s

    def _do(self, event: ev.Event) -> None:
        effects = self._machine.handle(event, self._now_s)
        self.log.append([type(event).__name__, [_plain(e) for e in effects]])
        for effect in effects:
            self._follow(effect)

    def _follow(self, effect: Any) -> None:
        match effect:
            case ef.Arm(timer, generation, seconds):
                self._timers[timer] = (
                    self._now_s + seconds,
                    ev.Expired(timer=timer, generation=generation),
                )
            case ef.Disarm(timer):
                self._timers.pop(timer, None)
            case ef.Record():
                self._record = effect
            case ef.Send(message):
                self._token = getattr(message, "token", self._token)
            case _:
                self._asked.append(effect)


def _audio(generation: int, reply: int, audio: bytes, text: str, seconds: float) -> Any:
    """The event has had two shapes."""
    if "piece" in {field.name for field in fields(ev.ReplyAudio)}:
        from serve_app.conversation.piece import Piece

        return ev.ReplyAudio(generation, reply, Piece(audio, text, seconds))  # type: ignore[call-arg]
    return ev.ReplyAudio(generation, reply, audio, text, seconds)  # type: ignore[call-arg]


def _plain(value: Any) -> Any:
    """As JSON, without the names of the classes inside, which may have changed."""
    if is_dataclass(value):
        parts = [_plain(getattr(value, field.name)) for field in fields(value)]
        flat = [x for part in parts for x in (part if _is_piece(part) else [part])]
        return [type(value).__name__, *flat] if isinstance(value, _TOP) else flat
    if isinstance(value, np.ndarray):
        return [len(value), *map(float, value[:1])]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, frozenset):
        return sorted(value)
    return round(value, 6) if isinstance(value, float) else value


def _is_piece(part: Any) -> bool:
    return isinstance(part, list) and len(part) == 3 and isinstance(part[2], float)


_TOP = tuple(kind for kind in (*ef.Effect.__args__, *ev.Event.__args__))
