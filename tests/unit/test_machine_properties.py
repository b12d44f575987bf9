"""What holds in every conversation, over thousands of random ones."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.machine import Conversation
from serve_app.conversation.settings import FRAME_SAMPLES, TurnSettings
from serve_app.protocol.messages import AgentAudio, Interrupt, Token

_TEXTS = st.sampled_from(["", "Yes.", "Go on."])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("voice"), st.integers(1, 20), st.sampled_from([0.0, 0.4, 0.9])),
        st.tuples(st.just("transcript"), st.integers(0, 3), _TEXTS),
        st.tuples(st.just("failed"), st.integers(0, 3), st.just("")),
        st.tuples(st.just("audio"), st.integers(0, 3), st.sampled_from([0.1, 1.0])),
        st.tuples(st.just("ended"), st.integers(0, 3), st.just("")),
        st.tuples(st.just("waiting"), st.just(0), st.just("")),
        st.tuples(st.just("expired"), st.just(0), st.just("")),
    ),
    max_size=60,
)  # fmt: skip


class Walk:
    """A conversation whose models answer in any order, also late and for dead generations."""

    def __init__(self) -> None:
        self.tokens = 0
        self.machine = Conversation(TurnSettings(max_utterance_ms=3200), self._token)
        self.effects: list[ef.Effect] = []
        self.do(ev.Opened("Be kind."))

    def _token(self) -> str:
        self.tokens += 1
        return f"token{self.tokens:03}"

    def do(self, event: ev.Event) -> None:
        self.effects += self.machine.handle(event)

    def step(self, kind: str, number: int, value: object) -> None:
        asked = [e for e in self.effects if isinstance(e, ef.Transcribe)][-1 - number :][:1]
        reply = [e for e in self.effects if isinstance(e, ef.Reply)][-1 - number :][:1]
        match kind:
            case "voice":
                for _ in range(number):
                    self.do(ev.AudioReceived(np.zeros(FRAME_SAMPLES, dtype=np.float32)))
                    self.do(ev.VoiceActivity(float(str(value))))
            case "transcript" if asked:
                self.do(ev.Transcribed(asked[0].generation, asked[0].segment, str(value), 50))
            case "failed" if asked:
                self.do(ev.TranscriptionFailed(asked[0].generation, asked[0].segment, "late"))
            case "audio" if reply:
                seconds = float(str(value))
                self.do(ev.ReplyAudio(reply[0].generation, b"\0\0", "words ", seconds, 300))
            case "ended" if reply:
                self.do(ev.ReplyEnded(reply[0].generation))
            case "waiting":
                self.do(ev.PlaybackWaiting())
            case "expired":
                armed = [e for e in self.effects if isinstance(e, ef.Arm)][-1:]
                for arm in armed:
                    self.do(ev.Expired(arm.timer, arm.generation))


@settings(max_examples=400, deadline=None)
@given(_STEPS)
def test_invariants(steps: list[tuple[str, int, object]]) -> None:
    walk = Walk()
    for kind, number, value in steps:
        walk.step(kind, number, value)
    _audio_carries_the_token_announced_last(walk.effects)
    _one_reply_at_a_time(walk.effects)
    _roles_alternate(walk.effects)


def _audio_carries_the_token_announced_last(effects: list[ef.Effect]) -> None:
    announced: list[str] = []
    for effect in effects:
        match effect:
            case ef.Send(Token(token)) | ef.Send(Interrupt(token)):
                assert token not in announced, "tokens are unique"
                announced.append(token)
            case ef.Send(AgentAudio(token, _)):
                assert token == announced[-1]


def _one_reply_at_a_time(effects: list[ef.Effect]) -> None:
    generations = [effect.generation for effect in effects if isinstance(effect, ef.Reply)]
    assert generations == sorted(set(generations))


def _roles_alternate(effects: list[ef.Effect]) -> None:
    for effect in effects:
        if isinstance(effect, ef.Reply):
            roles = [message.role for message in effect.chat]
            assert roles == ["system", *(["user", "assistant"] * len(roles))[: len(roles) - 1]]
            assert roles[-1] == "user"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40))
def test_chunking_of_the_audio_does_not_matter(cuts: list[int]) -> None:
    audio = np.arange(sum(cuts), dtype=np.float32)
    frames: list[np.ndarray] = []
    machine = Conversation(TurnSettings(), lambda: "token001")
    machine.handle(ev.Opened("Be kind."))
    start = 0
    for cut in cuts:
        effects = machine.handle(ev.AudioReceived(audio[start : start + cut]))
        frames += [effect.samples for effect in effects if isinstance(effect, ef.Detect)]
        start += cut
    whole = len(audio) // FRAME_SAMPLES * FRAME_SAMPLES
    assert np.array_equal(np.concatenate([*frames, audio[:0]]), audio[:whole])
