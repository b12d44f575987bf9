"""A conversation as a score: who speaks when, how fast the models are, played in virtual time.

    user    ──"What is this?"──           ──"No, stop."──
    agent                       ──"It is a long sto──
            0s        1s        2s        3s        4s

Half a minute takes some milliseconds. What comes of it is in `messages`, each with its time.
"""

import heapq
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

import numpy as np

from serve_app.agent.engines import Speech
from serve_app.agent.speaker import pieces
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.history import ChatMessage, Record
from serve_app.conversation.machine import Conversation
from serve_app.conversation.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ, TurnSettings
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import (
    EVENTS,
    AgentAudio,
    Caption,
    Interrupt,
    ServerMessage,
    Token,
    Transcript,
)

M = TypeVar("M", bound=ServerMessage)

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ
_VOICE = parse_format("pcm_16000")
_BYTES_PER_CHAR = 2 * SAMPLE_RATE_HZ // 20
"""The agent says 20 characters a second."""


@dataclass(frozen=True, slots=True)
class Says:
    """The user speaks. To the end-of-turn model, a last word with `...` is no end; to those who
    read the words, `...?` is one."""

    start_s: float
    end_s: float
    text: str

    def words(self) -> list[tuple[float, str]]:
        """Each word and the time of its middle."""
        found = self.text.split()
        step_s = (self.end_s - self.start_s) / max(1, len(found))
        return [(self.start_s + (i + 0.5) * step_s, word) for i, word in enumerate(found)]


@dataclass(frozen=True, slots=True)
class Noise:
    """A cough, a door, a keyboard: the VAD takes it for voice, the transcriber does not."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Models:
    """How long everything takes, and what goes wrong. Times are in seconds."""

    vad_s: float = 0.004
    stt_s: float = 0.15
    judge_s: float = 0.05
    llm_s: float = 0.15
    """To the first clause."""
    tts_s: float = 0.12
    """To the first audio."""
    seconds_per_second: float = 0.1
    """What a second of the voice takes to make."""
    stt_fails: bool = False
    stt_is_mute: bool = False
    judge_is_mute: bool = False
    has_judge: bool = True
    llm_fails: bool = False
    tts_fails: bool = False
    is_busy: bool = False
    decline_s: float = 0.001
    """Until a busy server says so."""
    before_tool: str | None = None
    """What a reply says before it needs a tool; None is a reply that needs none."""
    tool_s: float = 0.3


@dataclass(frozen=True, slots=True)
class Sent:
    at_s: float
    message: ServerMessage


@dataclass
class Client:
    """Plays like Echo's client: one queue, dropped at `interrupt`; says when it runs dry."""

    token: str = ""
    ends_at_s: float = 0.0
    stale: int = 0
    furthest_ahead_s: float = 0.0
    spoken: list[Says] = field(default_factory=list)
    """What the loudspeaker has said, or is going to: parts that may be cut within a word."""
    _caption: str = ""

    def take(self, message: ServerMessage, now_s: float) -> bool:
        """Whether there is something to play."""
        match message:
            case Token(token):
                self.token = token
            case Caption(_, text):
                self._caption = text
            case Interrupt(token):
                self.token = token
                self.ends_at_s = now_s
                self.spoken = [_until(now_s, said) for said in self.spoken if said.start_s < now_s]
            case AgentAudio(token, audio):
                self.stale += token != self.token
                start_s = max(self.ends_at_s, now_s)
                self.ends_at_s = start_s + len(audio) / 2 / SAMPLE_RATE_HZ
                self.spoken.append(Says(start_s, self.ends_at_s, self._caption))
                self._caption = ""
                self.furthest_ahead_s = max(self.furthest_ahead_s, self.ends_at_s - now_s)
                return True
        return False

    def words(self) -> list[tuple[float, str]]:
        """Each word of the loudspeaker, with the time of its first letter."""
        letters = [
            (said.start_s + i * (said.end_s - said.start_s) / len(said.text), letter)
            for said in self.spoken
            for i, letter in enumerate(said.text)
        ]
        text = "".join(letter for _, letter in letters)
        return [(letters[match.start()][0], match[0]) for match in re.finditer(r"\S+", text)]


def _until(end_s: float, says: Says) -> Says:
    """What is cut off at `end_s`: the word that is being said then is understood, or not."""
    if says.end_s <= end_s:
        return says
    kept = round((end_s - says.start_s) / (says.end_s - says.start_s) * len(says.text))
    return Says(says.start_s, end_s, says.text[: says.text.rfind(" ", 0, kept) + 1])


@dataclass
class Score:
    """Play it with `play`, then look at what happened."""

    sounds: Sequence[Says | Noise] = ()
    settings: TurnSettings = field(default_factory=TurnSettings)
    models: Models = field(default_factory=Models)
    answer: Callable[[tuple[ChatMessage, ...]], str] = lambda chat: "It is a test."
    greeting: str | None = ""
    cues: Sequence[tuple[float, ev.Event]] = ()
    """What else the client sends, and when."""
    muted_from_s: float = float("inf")
    """The client sends no audio from here on."""
    client_is_silent: bool = False
    """It never says that it has nothing to play."""
    is_resumable: bool = False
    echo_s: float | None = None
    """The microphone hears the loudspeaker, so much later."""
    record: Record | None = None
    """The conversation goes on from here."""
    played: ev.Played | None = None
    """What the client has played of the reply in the record."""

    def play(self, until_s: float) -> "Score":
        tokens = count(1)
        self.machine = Conversation(self.settings, lambda: f"token{next(tokens):03}")
        self.now_s = 0.0
        self.client = Client()
        self.messages: list[Sent] = []
        self.effects: list[tuple[float, ef.Effect]] = []
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self.tools_used: list[float] = []
        self._timers: dict[ev.Timer, int] = {}
        self._do(
            ev.Opened(
                "Be kind.",
                EVENTS,
                self.greeting,
                is_resumable=self.is_resumable,
                record=self.record,
                played=self.played,
            )
        )
        for at_s, event in self.cues:
            self._at(at_s, lambda event=event: self._do(event))  # type: ignore[misc]
        self._at(FRAME_S, self._frame)
        while self._queue and self._queue[0][0] <= until_s:
            self.now_s, _, step = heapq.heappop(self._queue)
            step()
        return self

    # --- what came of it ---

    def sent(self, kind: type[M]) -> list[tuple[float, M]]:
        return [(s.at_s, s.message) for s in self.messages if isinstance(s.message, kind)]

    def asked(self, kind: type[ef.Effect]) -> list[float]:
        """When something was asked for."""
        return [at_s for at_s, effect in self.effects if isinstance(effect, kind)]

    @property
    def talk(self) -> list[str]:
        """Both sides, as `user: ...` and `agent: ...`."""
        return [f"{message.role}: {message.text}" for _, message in self.sent(Transcript)]

    @property
    def last_record(self) -> Record:
        return next(e for _, e in reversed(self.effects) if isinstance(e, ef.Record))

    def first_audio_after(self, at_s: float) -> float:
        """Seconds from `at_s` to the next audio of the agent."""
        return next(s.at_s for s in self.messages if s.at_s > at_s and _is_audio(s)) - at_s

    def audio_between(self, start_s: float, end_s: float) -> int:
        """Messages with audio."""
        return sum(start_s < s.at_s <= end_s for s in self.messages if _is_audio(s))

    # --- the parts ---

    def _at(self, at_s: float, step: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (at_s, next(self._order), step))

    def _later(self, delay_s: float, event: ev.Event) -> None:
        self._at(self.now_s + delay_s, lambda: self._do(event))

    def _frame(self) -> None:
        """The microphone, and the VAD's answer a moment later."""
        number = round(self.now_s / FRAME_S) - 1
        if self.now_s < self.muted_from_s:
            self._do(ev.AudioReceived(np.full(FRAME_SAMPLES, number, dtype=np.float32)))
            middle_s = self.now_s - FRAME_S / 2
            is_voiced = self._is_voiced(middle_s)
            self._later(self.models.vad_s, ev.VoiceActivity(0.95 if is_voiced else 0.05))
        self._at((number + 2) * FRAME_S, self._frame)

    def _do(self, event: ev.Event) -> None:
        for effect in self._handle(event):
            self.effects.append((self.now_s, effect))
            self._carry_out(effect)

    def _handle(self, event: ev.Event) -> list[ef.Effect]:
        return self.machine.handle(event, self.now_s)

    def _carry_out(self, effect: ef.Effect) -> None:
        match effect:
            case ef.Send(message):
                self._send(message)
            case ef.Arm(timer, generation, seconds):
                armed = self._timers[timer] = next(self._order)
                self._at(
                    self.now_s + seconds,
                    lambda: self._expire(armed, ev.Expired(generation, timer)),
                )
            case ef.Disarm(timer):
                self._timers.pop(timer, None)
            case ef.Transcribe():
                self._transcribe(effect)
            case ef.TranscribePart(generation, segment, samples):
                text = " ".join(self._words_in(samples))
                part = ev.PartTranscribed(generation, segment, text)
                self._later(self.models.stt_s, part)
            case ef.JudgeTurn():
                self._judge(effect)
            case ef.Reply():
                self._reply(effect)
            case ef.Say(generation, reply, text):
                self._speak((generation, reply), text, self.models.tts_s)

    def _expire(self, armed: int, event: ev.Expired) -> None:
        if self._timers.get(event.timer) == armed:
            del self._timers[event.timer]
            self._do(event)

    def _send(self, message: ServerMessage) -> None:
        self.messages.append(Sent(self.now_s, message))
        if self.client.take(message, self.now_s) and not self.client_is_silent:
            self._at(self.client.ends_at_s, self._say_when_dry)

    def _say_when_dry(self) -> None:
        if self.now_s == self.client.ends_at_s:
            self._do(ev.PlaybackWaiting())

    def _is_voiced(self, at_s: float) -> bool:
        sounds = [*self.sounds]
        if self.echo_s is not None:
            sounds += [
                Noise(said.start_s + self.echo_s, said.end_s + self.echo_s)
                for said in self.client.spoken
            ]
        return any(sound.start_s <= at_s < sound.end_s for sound in sounds)

    def _words_in(self, samples: np.ndarray) -> list[str]:
        """The samples of each frame are its number."""
        if not len(samples):
            return []
        start_s, end_s = samples[0] * FRAME_S, (samples[-1] + 1) * FRAME_S
        spoken = [sound for sound in self.sounds if isinstance(sound, Says)]
        words = [word for sound in spoken for word in sound.words()]
        if self.echo_s is not None:
            words += [(at_s + self.echo_s, word) for at_s, word in self.client.words()]
        return [word for at_s, word in sorted(words) if start_s <= at_s < end_s]

    def _transcribe(self, effect: ef.Transcribe) -> None:
        generation, segment = effect.generation, effect.segment
        text = " ".join(self._words_in(effect.samples))
        if self.models.stt_fails:
            failed = ev.TranscriptionFailed(generation, segment, "no answer")
            self._later(self.models.stt_s, failed)
        elif not self.models.stt_is_mute:
            self._later(self.models.stt_s, ev.Transcribed(generation, segment, text))

    def _judge(self, effect: ef.JudgeTurn) -> None:
        last = self._words_in(effect.samples)[-1:]
        complete = 0.1 if last and "..." in last[0] else 0.9
        if not self.models.judge_is_mute:
            answer = complete if self.models.has_judge else None
            judged = ev.TurnJudged(effect.generation, effect.segment, answer)
            self._later(self.models.judge_s, judged)

    def _reply(self, effect: ef.Reply) -> None:
        key = (effect.generation, effect.reply)
        if effect.is_draft and self.models.is_busy:
            self._later(self.models.decline_s, ev.DraftDeclined(*key))
        elif self.models.before_tool is not None:
            self._reply_with_tool(effect, self.models.before_tool)
        elif self.models.llm_fails:
            self._later(self.models.llm_s, ev.ReplyFailed(*key, "llm", "no answer"))
        else:
            self._later(self.models.llm_s, ev.ReplyBegan(*key))
            self._speak(key, self.answer(effect.chat), self.models.llm_s + self.models.tts_s)

    def _reply_with_tool(self, effect: ef.Reply, first: str) -> None:
        """The agent's side as serve_app/tools has it: a draft ends where it needs the tool."""
        key, delay_s = (effect.generation, effect.reply), self.models.llm_s + self.models.tts_s
        if effect.is_draft:
            self._speak(key, first, delay_s, ev.DraftDeclined(*key))
            return
        self._at(self.now_s + self.models.llm_s, lambda: self.tools_used.append(self.now_s))
        self._speak(key, self.answer(effect.chat), delay_s + self.models.tool_s)

    def _speak(
        self, key: tuple[int, int], text: str, delay_s: float, last: ev.Event | None = None
    ) -> None:
        if self.models.tts_fails:
            self._later(delay_s, ev.ReplyFailed(*key, "tts", "no voice"))
            return
        speech = Speech(b"\1\0" * (_BYTES_PER_CHAR // 2 * len(text)), text)
        for piece in pieces(speech, _VOICE):
            audio = ev.ReplyAudio(*key, piece)
            self._later(delay_s, audio)
            delay_s += piece.duration_s * self.models.seconds_per_second
        self._later(delay_s, last or ev.ReplyEnded(*key))


def _is_audio(sent: Sent) -> bool:
    return isinstance(sent.message, AgentAudio)
