"""A microphone that hears the loudspeaker: the agent neither interrupts nor answers itself."""

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation.own_voice import OwnVoice, is_own_voice
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.states import State
from serve_app.protocol.messages import Interrupt
from tests.conversation.score import Says, Score
from tests.conversation.scores import QUESTION

STORY = (
    "Once upon a time there was a server at the edge of a forest. It answered everybody who came"
    " along the road, and nobody ever had to wait for longer than a moment."
)


def with_echo(*sounds: Says, until_s: float = 60.0, echo_s: float = 0.15) -> Score:
    return Score(
        [QUESTION, *sounds], TurnSettings(), answer=lambda chat: STORY, echo_s=echo_s
    ).play(until_s)


@pytest.mark.parametrize("echo_s", [0.02, 0.15, 0.4])
def test_the_agent_does_not_talk_to_itself(echo_s: float) -> None:
    """It interrupted itself after 1.1 s, answered what it had said, and so on without end."""
    score = with_echo(echo_s=echo_s)
    assert score.talk[0] == "user: Tell me a story."
    assert [line for line in score.talk if line.startswith("user")] == ["user: Tell me a story."]
    told = " ".join(line.removeprefix("agent: ") for line in score.talk[1:])
    assert told == STORY, "each word once"
    assert len(score.asked(ef.Reply)) <= 2, "after a long echo, for what is not written yet"
    asked = [effect for _, effect in score.effects if isinstance(effect, ef.Reply)]
    assert sum(reply.is_draft for reply in asked) == 1, "none of an answer to itself"
    assert score.machine.state is State.WAITING


def test_the_agent_stops_for_its_own_voice_three_times_at_most() -> None:
    later = [Says(30.0, 31.0, "Tell me another."), Says(60.0, 61.0, "And one more.")]
    score = with_echo(*later, until_s=90)
    assert len(score.sent(Interrupt)) <= 4, "the first time it says nothing"
    assert sum(line.startswith("user") for line in score.talk) == 3


def test_a_user_can_still_interrupt_by_words() -> None:
    score = with_echo(Says(16.0, 18.0, "No, please stop that right now, thank you."), until_s=60)
    assert any("stop that right now" in line for line in score.talk if line.startswith("user"))


@pytest.mark.parametrize(
    ("heard", "said", "expected"),
    [
        ("answered everybody who came along", STORY[:90], True),
        ("It answered every buddy who came along", STORY, True),
        ("Once upon", "Once upon a time", True),
        ("one's upon", "Once upon a time", True),
        ("server", "there was a server", True),
        ("No, stop!", "there was a server", False),
        ("no", "and nobody knows it now", False),
        ("I would like the train to Berlin", "Where would you like to go by train?", False),
        ("Tell me about the server at the edge of town instead", STORY[:60], False),
        ("", "there was a server", False),
        ("server", "", False),
    ],
)
def test_only_what_was_just_said_is_the_agents_own_voice(
    heard: str, said: str, expected: bool
) -> None:
    assert is_own_voice(heard, said) is expected


def test_certain_after_three_times_in_a_row() -> None:
    voice = OwnVoice()
    for is_own in (True, True, False, True, True):
        voice.note(is_own)
        assert not voice.is_certain
    voice.note(True)
    assert voice.is_certain
    voice.note(False)
    assert voice.is_certain, "the room has not changed"
