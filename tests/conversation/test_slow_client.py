"""A client that reads slowly has heard no more than was written to its socket."""

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.states import State
from serve_app.protocol.messages import AgentAudio, Interrupt, Transcript
from tests.conversation.score import M, Says
from tests.conversation.slow_score import SlowScore

SECOND = 32_000
"""Bytes of the agent's audio."""
CHARS_A_SECOND = 20
STORY = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."
QUESTION = Says(1.0, 2.0, "Count.")
SETTINGS = TurnSettings(max_drafts=0)


def counting(until_s: float = 60.0, **options: object) -> SlowScore:
    sounds = [QUESTION, *options.pop("sounds", ())]  # type: ignore[misc]
    score = SlowScore(sounds, SETTINGS, answer=lambda chat: STORY, **options)  # type: ignore[arg-type]
    return score.play(until_s)


def sends(score: SlowScore, kind: type[M]) -> list[tuple[float, M]]:
    """What the conversation sends, before it has arrived."""
    sent = [(s, effect.message) for s, effect in score.effects if isinstance(effect, ef.Send)]
    return [(at_s, message) for at_s, message in sent if isinstance(message, kind)]


def heard_s(score: SlowScore) -> tuple[float, float, str]:
    """When a reply was over, and how many seconds of its text count as heard."""
    ((at_s, transcript),) = [
        (at_s, message) for at_s, message in score.sent(Transcript) if message.role == "agent"
    ]
    tokens = [m.token for _, m in score.sent(AgentAudio)]
    return at_s, len(transcript.text) / CHARS_A_SECOND, tokens[-1]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("talks_at_s", [4.0, 4.7, 5.5, 6.5])
def test_what_counts_as_heard_was_written(share: float, talks_at_s: float) -> None:
    score = counting(
        sounds=[Says(talks_at_s, talks_at_s + 1.5, "No, stop that.")],
        bytes_per_s=share * SECOND,
        until_s=talks_at_s + 2.0,
    )
    interrupted_s, _ = sends(score, Interrupt)[0]
    _, audio = sends(score, AgentAudio)[0]
    heard = "".join(m.text for _, m in sends(score, Transcript) if m.role == "agent")
    written_s = score.written_bytes(interrupted_s, audio.token) / SECOND
    assert STORY.startswith(heard) and heard != STORY
    assert len(heard) <= written_s * CHARS_A_SECOND


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_an_interrupt_does_not_wait_behind_audio_that_is_dead(share: float) -> None:
    score = counting(
        sounds=[Says(5.0, 6.5, "No, stop that.")], bytes_per_s=share * SECOND, until_s=20.0
    )
    at_s, interrupt = sends(score, Interrupt)[0]
    piece_s = 0.5 / share
    assert score.arrival_s(interrupt) - at_s <= piece_s, "only what is being written comes first"
    between = [
        message
        for s, message in score.arrived
        if at_s < s <= score.arrival_s(interrupt) and isinstance(message, AgentAudio)
    ]
    assert len(between) <= 1
    assert score.client.stale == 0


@pytest.mark.parametrize("is_silent", [False, True])
@pytest.mark.parametrize("muted_from_s", [4.2, float("inf")])
def test_a_client_that_stops_reading_for_a_while_hears_all_of_it(
    is_silent: bool, muted_from_s: float
) -> None:
    score = counting(
        stops_reading=(4.3, 9.3), client_is_silent=is_silent, muted_from_s=muted_from_s
    )
    at_s, _, token = heard_s(score)
    assert score.talk == ["user: Count.", f"agent: {STORY}"]
    assert score.written_bytes(at_s, token) >= len(STORY) * SECOND / CHARS_A_SECOND
    assert at_s > 9.3
    assert score.machine.state is State.WAITING
    assert score.client.furthest_ahead_s <= 1.51


def test_a_slow_client_takes_longer_and_hears_all_of_it() -> None:
    score = counting(bytes_per_s=0.5 * SECOND)
    at_s, length_s, _ = heard_s(score)
    assert score.talk == ["user: Count.", f"agent: {STORY}"]
    assert at_s > 2.0 + 2 * length_s


def test_a_client_that_is_lost_before_it_has_read_has_heard_nothing() -> None:
    score = counting(
        stops_reading=(2.0, 60.0), is_resumable=True, cues=[(6.0, ev.Disconnected())], until_s=7.0
    )
    reply = score.last_record.reply
    assert reply is not None and reply.played_s == 0
