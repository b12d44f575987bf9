"""What holds in every conversation, over thousands of random ones."""

from itertools import count, pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.machine import Conversation
from serve_app.conversation.piece import Piece
from serve_app.conversation.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ, TurnSettings
from serve_app.conversation.states import State
from serve_app.conversation.words import is_longer
from serve_app.protocol.messages import EVENTS, AgentAudio, Interrupt, Partial, Token, Transcript

SETTINGS = TurnSettings(
    max_utterance_ms=3200, hold_ms=600, idle_prompt_ms=4000, partial_ms=400, max_session_s=30
)
TEXTS = st.sampled_from(["", "Yes.", "Go on.", "go on", "(noise)", "No, stop it."])
OLDER = st.integers(0, 3)
"""Which of the last calls answers: late answers, and answers of the dead, come too."""


class Chaos(RuleBasedStateMachine):
    """Whatever the user, the models, the client and the clock do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = count(1)
        self.machine = self._machine()
        self.now_s = 0.0
        self.samples = 0
        self.effects: list[ef.Effect] = []
        self.live: list[ef.Effect] = []
        """Those of the machine that lives; a dead one's calls died with it."""
        self.timers: dict[ev.Timer, ev.Expired] = {}
        self.ends: dict[int, int] = {}
        self.said_by_user: list[str] = []

    def _machine(self) -> Conversation:
        return Conversation(SETTINGS, lambda: f"token{next(self.tokens):03}")

    def do(self, event: ev.Event) -> None:
        if isinstance(event, ev.ReplyEnded) and self._is_live(event.reply):
            self.ends[event.reply] += 1
        for effect in self.machine.handle(event, self.now_s):
            self.effects.append(effect)
            self.live.append(effect)
            self._follow(effect)

    def _is_live(self, reply: int) -> bool:
        return self.ends.get(reply) == 0

    def _follow(self, effect: ef.Effect) -> None:
        match effect:
            case ef.Arm(timer, generation):
                self.timers[timer] = ev.Expired(generation, timer)
            case ef.Disarm(timer):
                self.timers.pop(timer, None)
            case ef.Reply(_, reply):
                assert not any(n == 0 for n in self.ends.values()), "one live reply at most"
                self.ends[reply] = 0
            case ef.CancelReply(_, reply):
                self.ends[reply] += 1
            case ef.Send(Transcript(_, "user", text)):
                self.said_by_user.append(text)
            case ef.Cancel(generation):
                for asked in self._asked(ef.Reply):
                    if asked.generation == generation and self._is_live(asked.reply):
                        self.ends[asked.reply] += 1

    def _asked(self, kind: type[ef.Reply]) -> list[ef.Reply]:
        return [effect for effect in self.live if isinstance(effect, kind)]

    def _recent(self, number: int) -> list[tuple[int, int]]:
        asked = [(e.generation, e.reply) for e in self.live if isinstance(e, ef.Reply | ef.Say)]
        return asked[-1 - number :][:1]

    # --- what happens ---

    @initialize(greeting=st.sampled_from([None, "", "Hi."]), is_resumable=st.booleans())
    def opens(self, greeting: str | None, is_resumable: bool) -> None:
        self.do(ev.Opened("Be kind.", EVENTS, greeting, is_resumable=is_resumable))

    @rule(frames=st.integers(1, 20), probability=st.sampled_from([0.0, 0.4, 0.9]))
    def makes_a_sound(self, frames: int, probability: float) -> None:
        for _ in range(frames):
            first = self.samples
            self.samples += FRAME_SAMPLES
            self.now_s += FRAME_SAMPLES / SAMPLE_RATE_HZ
            self.do(ev.AudioReceived(np.arange(first, self.samples, dtype=np.float32)))
            self.do(ev.VoiceActivity(probability))

    @rule(text=st.sampled_from(["Hello.", "Wait."]))
    def types(self, text: str) -> None:
        self.do(ev.TextReceived(text))

    @rule()
    def presses_stop(self) -> None:
        self.do(ev.InterruptRequested())

    @rule(number=OLDER, text=TEXTS, fails=st.booleans())
    def is_transcribed(self, number: int, text: str, fails: bool) -> None:
        asked = [e for e in self.live if isinstance(e, ef.Transcribe)]
        for effect in asked[-1 - number :][:1]:
            if fails:
                self.do(ev.TranscriptionFailed(effect.generation, effect.segment, "late"))
            else:
                self.do(ev.Transcribed(effect.generation, effect.segment, text))

    @rule(number=OLDER, text=TEXTS)
    def is_partly_transcribed(self, number: int, text: str) -> None:
        asked = [e for e in self.live if isinstance(e, ef.TranscribePart)]
        for effect in asked[-1 - number :][:1]:
            self.do(ev.PartTranscribed(effect.generation, effect.segment, text))

    @rule(number=OLDER, complete=st.sampled_from([None, 0.1, 0.9]))
    def is_judged(self, number: int, complete: float | None) -> None:
        asked = [e for e in self.live if isinstance(e, ef.JudgeTurn)]
        for effect in asked[-1 - number :][:1]:
            self.do(ev.TurnJudged(effect.generation, effect.segment, complete))

    @rule(number=OLDER, seconds=st.sampled_from([0.0, 0.1, 1.0]), is_said=st.booleans())
    def speaks(self, number: int, seconds: float, is_said: bool) -> None:
        audio = b"\0\0" if seconds else b""
        piece = Piece(audio, "words ", seconds, is_said=is_said or bool(audio))
        for reply in self._recent(number):
            self.do(ev.ReplyBegan(*reply))
            self.do(ev.ReplyAudio(*reply, piece))

    @rule(number=OLDER)
    def has_spoken(self, number: int) -> None:
        for reply in self._recent(number):
            self.do(ev.ReplyEnded(*reply))

    @rule(number=OLDER, stage=st.sampled_from(["llm", "tts", "agent"]))
    def fails(self, number: int, stage: str) -> None:
        for reply in self._recent(number):
            if self._is_live(reply[1]):
                self.ends[reply[1]] += 1
            self.do(ev.ReplyFailed(*reply, stage, "no"))

    @rule(number=OLDER)
    def declines_a_draft(self, number: int) -> None:
        drafts = [e for e in self._asked(ef.Reply) if e.is_draft]
        for draft in drafts[-1 - number :][:1]:
            if self._is_live(draft.reply):
                self.ends[draft.reply] += 1
                self.do(ev.DraftDeclined(draft.generation, draft.reply))

    @rule()
    def runs_dry(self) -> None:
        self.do(ev.PlaybackWaiting())

    @rule(messages=st.integers(0, 3))
    def reads_slowly(self, messages: int) -> None:
        self.do(ev.Backlog(messages))

    @rule(played_ms=st.floats(0, 3000))
    def has_played(self, played_ms: float) -> None:
        tokens = [e.message.token for e in self.effects if isinstance(e, ef.Send)
                  and isinstance(e.message, Token | Interrupt)]  # fmt: skip
        for token in tokens[-1:]:
            self.do(ev.Played(token, played_ms))

    @rule(timer=st.sampled_from(list(ev.Timer)))
    def expires(self, timer: ev.Timer) -> None:
        if expired := self.timers.pop(timer, None):
            self.now_s += 0.3
            self.do(expired)

    @rule(
        drains=st.sampled_from([False, False, True]),
        closes=st.booleans(),
        played_ms=st.floats(0, 3000),
    )
    def is_lost_and_resumed(self, drains: bool, closes: bool, played_ms: float) -> None:
        """kill -9 at any moment, or a socket that is lost, while the server drains or not."""
        if drains:
            self.do(ev.Draining(5.0))
        if closes:
            self.do(ev.Disconnected())
        record = next((e for e in reversed(self.effects) if isinstance(e, ef.Record)), None)
        if record is not None:
            self._begin_anew(record, played_ms)

    def _begin_anew(self, record: ef.Record, played_ms: float) -> None:
        self.machine, self.live, self.timers = self._machine(), [], {}
        self.ends = {}
        self.samples = 0
        played = ev.Played(record.reply.token, played_ms) if record.reply else None
        self.do(ev.Opened("", EVENTS, is_resumable=True, record=record, played=played))
        assert self.machine.generation > record.generation
        asks = [e for e in self.live if isinstance(e, ef.Reply | ef.Say)]
        if record.reply is None:
            assert len(asks) == (record.history[-1].role == "user"), "answered once, if at all"
        assert len(asks) <= 1

    # --- what holds ---

    @invariant()
    def audio_carries_the_token_announced_last(self) -> None:
        announced: list[str] = []
        for effect in self.effects:
            match effect:
                case ef.Send(Token(token)) | ef.Send(Interrupt(token)):
                    assert token not in announced, "tokens are unique"
                    announced.append(token)
                case ef.Send(AgentAudio(token, _)):
                    assert token == announced[-1]

    @invariant()
    def roles_alternate(self) -> None:
        for effect in self.effects:
            if isinstance(effect, ef.Reply):
                roles = [message.role for message in effect.chat]
                assert roles[0] == "system" and roles[-1] == "user"
                assert all(one != other for one, other in pairwise(roles))

    @invariant()
    def what_the_user_said_is_in_the_history_once(self) -> None:
        records = [e.history for e in self.effects if isinstance(e, ef.Record)]
        for history in records[-1:]:
            told = " ".join(m.content for m in history if m.role == "user")
            assert told.removeprefix("Hello!").split() == " ".join(self.said_by_user).split()

    @invariant()
    def what_the_client_is_told_is_recorded(self) -> None:
        told = ""
        for effect in self.effects:
            match effect:
                case ef.Record(history):
                    told = history[-1].content
                case ef.Send(Transcript(_, _, text)):
                    assert told.endswith(text)

    @invariant()
    def no_sample_is_lost(self) -> None:
        for effect in self.effects:
            if isinstance(effect, ef.Transcribe | ef.TranscribePart):
                assert np.all(np.diff(effect.samples) == 1)

    @invariant()
    def what_the_client_is_told_early_only_grows(self) -> None:
        told: dict[int, str] = {}
        for effect in self.live:
            match effect:
                case ef.Send(Partial(turn, text)):
                    assert is_longer(text, told.get(turn, ""))
                    told[turn] = text

    @invariant()
    def no_reply_ends_twice(self) -> None:
        assert all(ended <= 1 for ended in self.ends.values()), self.ends

    def teardown(self) -> None:
        self.do(ev.CloseRequested())
        if self.machine.state is State.ENDED and self.effects:
            assert all(ended == 1 for ended in self.ends.values()), "every reply ends"


Chaos.TestCase.settings = settings(max_examples=400, stateful_step_count=60, deadline=None)
TestChaos = Chaos.TestCase


# --- the effects do not depend on how the audio was cut ---


def _effects(audio: np.ndarray, cuts: list[int], voice: list[float]) -> list[object]:
    """A whole conversation over `audio`; answers come at fixed samples of it."""
    tokens = count(1)
    machine = Conversation(SETTINGS, lambda: f"token{next(tokens):03}")
    log: list[object] = []
    detected = judged = 0

    def do(event: ev.Event) -> None:
        nonlocal detected
        for effect in machine.handle(event, judged * FRAME_SAMPLES / SAMPLE_RATE_HZ):
            if isinstance(effect, ef.Detect):
                detected += len(effect.samples) // FRAME_SAMPLES
            elif isinstance(effect, ef.Transcribe | ef.TranscribePart | ef.JudgeTurn):
                log.append((type(effect), effect.segment, effect.samples.tolist()))
                answers.append(effect)
            else:
                log.append(effect)
                if isinstance(effect, ef.Reply | ef.Say):
                    answers.append(effect)

    answers: list[ef.Effect] = []
    do(ev.Opened("Be kind.", EVENTS))
    start = 0
    for cut in [*cuts, len(audio)]:
        do(ev.AudioReceived(audio[start : start + cut]))
        start += cut
        while judged < detected:
            do(ev.VoiceActivity(voice[judged]))
            judged += 1
            if judged % 4 == 0 and answers:
                _answer(do, answers.pop(0))
    return log


def _answer(do: object, effect: ef.Effect) -> None:
    assert callable(do)
    match effect:
        case ef.Transcribe(generation, segment):
            do(ev.Transcribed(generation, segment, "Go on."))
        case ef.TranscribePart(generation, segment):
            do(ev.PartTranscribed(generation, segment, "Go on"))
        case ef.JudgeTurn(generation, segment):
            do(ev.TurnJudged(generation, segment, 0.9))
        case ef.Reply(generation, reply) | ef.Say(generation, reply):
            do(ev.ReplyAudio(generation, reply, Piece(b"\0\0", "words ", 0.5)))
            do(ev.ReplyEnded(generation, reply))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 6000), max_size=60),
    st.lists(st.sampled_from([0.0, 0.9]), min_size=1, max_size=12),
)
def test_chunking_of_the_audio_does_not_matter(cuts: list[int], pattern: list[float]) -> None:
    frames = 200
    audio = np.arange(frames * FRAME_SAMPLES, dtype=np.float32)
    voice = [pattern[frame // 12 % len(pattern)] for frame in range(frames)]
    assert _effects(audio, cuts, voice) == _effects(audio, [FRAME_SAMPLES] * frames, voice)
