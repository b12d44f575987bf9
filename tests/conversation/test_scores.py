"""Turn taking, rule by rule, as scores in virtual time. The numbers behind a rule are those of
complaints about other voice servers: pipecat and livekit are pipecat-ai/pipecat and
livekit/agents on GitHub.

Here: what of a reply is sent and heard, faults, what a client can ask for; the other rules are in
test_scores_end_of_turn.py, test_scores_speculation.py and test_scores_barge_in.py.
"""

from dataclasses import replace

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.states import State
from serve_app.protocol.messages import (
    AgentAudio,
    ErrorNotice,
    Interrupt,
    Metrics,
    StateChanged,
    Token,
)
from tests.conversation.score import Models, Says, Score
from tests.conversation.scores import QUESTION, SETTINGS, STORY, story

# --- paced output and the heard ledger ---


def test_output_runs_about_a_second_ahead() -> None:
    score = story()
    assert 0.5 < score.client.furthest_ahead_s <= 1.0
    assert score.talk[-1] == f"agent: {STORY}"


def test_a_client_that_says_nothing_gets_the_whole_reply_and_the_next_turn() -> None:
    score = story(Says(8.5, 9.5, "And another one."), client_is_silent=True, until_s=20)
    assert score.talk[1] == f"agent: {STORY}" and score.talk[3] == f"agent: {STORY}"


def test_underruns_do_not_open_the_floor() -> None:
    """The voice comes slower than it plays: Echo's client says `waiting` at every gap."""
    slow = Models(seconds_per_second=1.5)
    score = story(models=slow, until_s=14)
    assert [m.state for _, m in score.sent(StateChanged)].count("waiting") == 2
    assert score.talk[1] == f"agent: {STORY}"


def test_a_client_can_say_how_much_it_has_played() -> None:
    score = story(
        Says(4.0, 6.0, "No, I wanted another one."),
        cues=[(3.9, ev.Played("token001", 300.0))],
    )
    assert score.talk[1] == "agent: One two three"


# --- never stuck ---


def test_a_transcript_that_never_comes_ends_the_turn() -> None:
    score = story(models=Models(stt_is_mute=True), until_s=60)
    assert score.machine.state is State.WAITING
    assert [m.stage for _, m in score.sent(ErrorNotice)] == ["stt"]


def test_a_failed_llm_is_apologised_for_and_the_session_goes_on() -> None:
    score = story(models=Models(llm_fails=True))
    assert score.talk == ["user: Tell me a story.", f"agent: {SETTINGS.apology}"]
    assert [m.stage for _, m in score.sent(ErrorNotice)] == ["llm"]
    assert score.machine.state is State.WAITING


def test_a_failed_voice_is_signalled() -> None:
    score = story(models=Models(tts_fails=True))
    assert score.talk == ["user: Tell me a story."]
    assert "tts" in {m.stage for _, m in score.sent(ErrorNotice)}
    assert score.machine.state is State.WAITING


def test_a_microphone_that_stops_in_the_middle_ends_the_turn() -> None:
    score = Score([Says(1, 3, "Tell me a")], SETTINGS, muted_from_s=2.0).play(12)
    assert score.talk[0].startswith("user: Tell")
    assert score.talk[-1].startswith("agent")


def test_an_idle_user_is_asked_once_and_then_left() -> None:
    idle = replace(SETTINGS, idle_prompt_ms=5000, idle_close_ms=15_000)
    score = story(settings=idle, until_s=40)
    assert score.talk[2:] == [f"agent: {idle.idle_prompt}"]
    closed = [(at_s, e.code) for at_s, e in score.effects if isinstance(e, ef.CloseSocket)]
    assert len(closed) == 1 and closed[0][1] == 4410
    assert closed[0][0] == pytest.approx(score.sent(StateChanged)[-3][0] + 15, abs=1)


# --- what a client can ask for ---


def test_the_clients_own_greeting_is_said_word_by_word() -> None:
    score = Score(greeting="Welcome to the library.", settings=SETTINGS).play(5)
    assert score.talk == ["agent: Welcome to the library."]
    assert not score.asked(ef.Reply)


def test_without_a_greeting_the_user_speaks_first() -> None:
    score = Score([QUESTION], SETTINGS, greeting="").play(5)
    assert score.audio_between(0, 2) == 0 and score.talk[0] == "user: Tell me a story."


def test_typed_text_is_a_turn_and_interrupts() -> None:
    score = story(cues=[(4.0, ev.TextReceived("Something else, please."))])
    ((at_s, _),) = score.sent(Interrupt)
    assert at_s == 4.0
    assert score.talk[2] == "user: Something else, please."
    assert score.talk[3] == f"agent: {STORY}"


def test_typed_text_joins_what_is_being_said() -> None:
    score = story(cues=[(1.5, ev.TextReceived("(with a dragon)"))])
    assert "Tell me a story." in score.talk[0] and "dragon" in score.talk[0]
    assert len(score.talk) == 2


def test_a_button_stops_the_agent() -> None:
    score = story(cues=[(4.0, ev.InterruptRequested())])
    ((at_s, _),) = score.sent(Interrupt)
    assert at_s == 4.0 and score.machine.state is State.WAITING
    assert score.audio_between(4.0, 12) == 0


def test_a_wrong_option_is_refused_with_its_name() -> None:
    score = Score(cues=[]).play(0)
    again = type(score.machine)(SETTINGS, lambda: "token001")
    *_, close = again.handle(ev.Opened("", turn={"end_silence_ms": "long"}), 0.0)
    assert close == ef.CloseSocket(4400, "open: turn: end_silence_ms must be a number")


# --- metrics ---


def test_what_was_done_on_suspicion_takes_no_time() -> None:
    (_, metrics), *_ = story().sent(Metrics)
    assert metrics.stt_ms == 0
    parts = metrics.endpoint_ms + metrics.stt_ms + metrics.llm_ms + metrics.tts_ms
    assert parts / 1000 == pytest.approx(story().first_audio_after(2.0), abs=0.05)


def test_the_token_comes_before_its_audio() -> None:
    kinds = [type(s.message) for s in story().messages]
    assert kinds.index(Token) < kinds.index(AgentAudio)
