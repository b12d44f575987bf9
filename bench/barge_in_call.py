"""One caller, in virtual time: the conversation itself, real models on what the microphone hears,
an agent with a script, and the client's loudspeaker."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np

from bench.barge_in_agent import Agent, Line
from bench.barge_in_ears import Ears, Session
from bench.barge_in_loudspeaker import Loudspeaker
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.machine import Conversation
from serve_app.conversation.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ, TurnSettings
from serve_app.conversation.states import State
from serve_app.protocol.messages import EVENTS, Samples, ServerMessage, Transcript

_CALM_S = 1.0
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Delays:
    """How long everything takes that is not run in real time here, in seconds."""

    vad_s: float = 0.005
    stt_s: float = 0.065
    """Of a transcript, however short."""
    stt_per_s: float = 0.023
    """For each second of speech: with `stt_s` this is the transcriber of docs/speed.md."""
    judge_s: float = 0.05
    llm_s: float = 0.15
    """To the first clause."""
    tts_s: float = 0.12
    """To the first audio."""
    voice_per_s: float = 0.1
    """What a second of the voice takes to make."""
    network_s: float = 0.0
    """One way."""


@dataclass(frozen=True, slots=True)
class Echo:
    """The microphone hears the loudspeaker."""

    gain_db: float
    delay_s: float = 0.15

    @property
    def gain(self) -> np.float32:
        return np.float32(10 ** (self.gain_db / 20))


@dataclass(frozen=True, slots=True)
class Said:
    """A transcript that the client was sent."""

    at_s: float
    role: str
    text: str


class Call:
    """The agent tells a story from the start. `microphone` is what else the microphone hears, for
    as long as the call may last; then it is silent."""

    def __init__(
        self,
        ears: Ears,
        agent: Agent,
        microphone: Samples,
        settings: TurnSettings,
        delays: Delays | None = None,
        echo: Echo | None = None,
    ) -> None:
        tokens = count(1)
        self.machine = Conversation(settings, lambda: f"token{next(tokens):03}")
        self.loudspeaker = Loudspeaker()
        self.said: list[Said] = []
        self.holds: list[float] = []
        """When the server began to hold the output."""
        self.now_s = 0.0
        self._ears, self._agent, self._settings = ears, agent, settings
        self._session = Session(ears)
        self._microphone, self._echo = microphone, echo
        self._delays = delays or Delays()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._timers: dict[ev.Timer, int] = {}

    def run(self, is_over: Callable[["Call"], bool], until_s: float) -> "Call":
        """Until `is_over`, which is asked after each frame, or `until_s`."""
        self._do(ev.Opened("Be kind.", EVENTS, greeting=""))
        self._do(ev.TextReceived("Tell me a story."))
        self._at(FRAME_S, lambda: self._frame(0))
        frames = 0
        while self._queue and self._queue[0][0] <= until_s:
            self.now_s, _, step = heapq.heappop(self._queue)
            step()
            if self.now_s >= (frames + 1) * FRAME_S:
                frames = int(self.now_s / FRAME_S)
                if is_over(self):
                    break
        return self

    @property
    def is_quiet(self) -> bool:
        """Nobody has the floor, and nothing is left to play."""
        return self.machine.state is State.WAITING and self.loudspeaker.ends_at_s <= self.now_s

    @property
    def is_talking_again(self) -> bool:
        """The agent talks, and nothing has stopped it for a moment."""
        calm_s = self.now_s - max(self.loudspeaker.interrupts, default=0.0)
        is_heard = self.loudspeaker.ends_at_s > self.now_s
        return self.machine.state is State.SPEAKING and is_heard and calm_s > _CALM_S

    # --- time ---

    def _at(self, at_s: float, step: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (at_s, next(self._order), step))

    def _later(self, delay_s: float, event: ev.Event) -> None:
        self._at(self.now_s + delay_s, lambda: self._do(event))

    # --- the microphone ---

    def _frame(self, number: int) -> None:
        """The client sends the frame that has just ended."""
        start = number * FRAME_SAMPLES
        frame = np.zeros(FRAME_SAMPLES, dtype=np.float32)
        heard = self._microphone[start : start + FRAME_SAMPLES]
        frame[: len(heard)] = heard
        if self._echo:
            played = self.loudspeaker.sound(number * FRAME_S - self._echo.delay_s, FRAME_SAMPLES)
            frame += self._echo.gain * played
        self._later(self._delays.network_s, ev.AudioReceived(np.clip(frame, -1.0, 1.0)))
        self._at((number + 2) * FRAME_S, lambda: self._frame(number + 1))

    # --- the server ---

    def _do(self, event: ev.Event) -> None:
        before = self.machine.state
        for effect in self.machine.handle(event, self.now_s):
            self._carry_out(effect)
        if self.machine.state is State.HELD and before is not State.HELD:
            self.holds.append(self.now_s)

    def _carry_out(self, effect: ef.Effect) -> None:
        match effect:
            case ef.Send(message):
                self._at(self.now_s + self._delays.network_s, lambda: self._receive(message))
            case ef.Detect(samples):
                for frame in samples.reshape(-1, FRAME_SAMPLES):
                    probability = self._session.detect(frame)
                    self._later(self._delays.vad_s, ev.VoiceActivity(probability))
            case ef.Transcribe() | ef.TranscribePart():
                self._transcribe(effect)
            case ef.JudgeTurn(generation, segment, samples):
                judged = ev.TurnJudged(generation, segment, self._ears.judge(samples))
                self._later(self._delays.judge_s, judged)
            case ef.Reply(generation, reply, chat):
                line = self._agent.reply(chat, self._settings.continuation)
                self._speak(generation, reply, line)
            case ef.Arm(timer, generation, seconds):
                self._arm(timer, generation, seconds)
            case ef.Disarm(timer):
                self._timers.pop(timer, None)

    def _transcribe(self, effect: ef.Transcribe | ef.TranscribePart) -> None:
        text = self._ears.transcribe(effect.samples, effect.hint)
        delays, seconds = self._delays, len(effect.samples) / SAMPLE_RATE_HZ
        kind = ev.Transcribed if isinstance(effect, ef.Transcribe) else ev.PartTranscribed
        event = kind(effect.generation, effect.segment, text)
        self._later(delays.stt_s + delays.stt_per_s * seconds, event)

    def _speak(self, generation: int, reply: int, line: Line) -> None:
        delay_s = self._delays.llm_s
        self._later(delay_s, ev.ReplyBegan(generation, reply))
        delay_s += self._delays.tts_s
        for clause in line.pieces():
            for piece in clause:
                self._later(delay_s, ev.ReplyAudio(generation, reply, piece))
            delay_s += sum(p.duration_s for p in clause) * self._delays.voice_per_s
        self._later(delay_s, ev.ReplyEnded(generation, reply))

    def _arm(self, timer: ev.Timer, generation: int, seconds: float) -> None:
        armed = self._timers[timer] = next(self._order)

        def expire() -> None:
            if self._timers.get(timer) == armed:
                del self._timers[timer]
                self._do(ev.Expired(generation, timer))

        self._at(self.now_s + seconds, expire)

    # --- the client ---

    def _receive(self, message: ServerMessage) -> None:
        if isinstance(message, Transcript):
            self.said.append(Said(self.now_s, message.role, message.text))
        if self.loudspeaker.take(message, self.now_s):
            self._at(self.loudspeaker.ends_at_s, self._say_when_dry)

    def _say_when_dry(self) -> None:
        if self.now_s == self.loudspeaker.ends_at_s:
            self._later(self._delays.network_s, ev.PlaybackWaiting())
