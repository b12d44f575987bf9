"""Turn taking, rule by rule, as scores in virtual time. The numbers behind a rule are those of
complaints about other voice servers: pipecat and livekit are pipecat-ai/pipecat and
livekit/agents on GitHub."""

from dataclasses import replace

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.states import State
from serve_app.protocol.messages import (
    AgentAudio,
    ErrorNotice,
    Interrupt,
    Metrics,
    Partial,
    StateChanged,
    Token,
)
from tests.unit.score import Models, Noise, Says, Score

SETTINGS = TurnSettings(
    soft_end_ms=64, judge_silence_ms=192, end_silence_ms=400, max_silence_ms=1600
)
STORY = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen."
QUESTION = Says(1.0, 2.0, "Tell me a story.")
ANSWER_STARTS_S = 2.5
"""About when the answer to QUESTION is heard."""


def story(*sounds: Says | Noise, until_s: float = 12.0, **score: object) -> Score:
    """The agent tells STORY, four seconds long, and the user makes other sounds as well."""
    options: dict[str, object] = {"settings": SETTINGS, "answer": lambda chat: STORY, **score}
    return Score([QUESTION, *sounds], **options).play(until_s)  # type: ignore[arg-type]


def end_of_turn(score: Score) -> float:
    """When the first turn was ended."""
    return next(at_s for at_s, m in score.sent(StateChanged) if m.state != "listening" and at_s > 1)


# --- the end of a turn ---


def test_a_complete_turn_ends_soon() -> None:
    assert end_of_turn(story()) - 2.0 == pytest.approx(0.4, abs=0.05)


def test_an_incomplete_turn_is_waited_for_and_is_one_turn() -> None:
    """pipecat#4108, #4279: cut off, or odd delays. A pause to think is neither."""
    score = Score([Says(1, 2, "I would like..."), Says(2.7, 3.5, "a cup of tea.")], SETTINGS).play(
        8
    )
    assert score.talk == ["user: I would like... a cup of tea.", "agent: It is a test."]
    assert score.audio_between(0, 3.5) == 0


def test_an_incomplete_turn_ends_all_the_same() -> None:
    score = Score([Says(1, 2, "I would like...")], SETTINGS).play(8)
    assert end_of_turn(score) - 2.0 <= 1.6 + 0.1
    assert score.talk[0] == "user: I would like..."


@pytest.mark.parametrize("models", [Models(has_judge=False), Models(judge_is_mute=True)])
def test_without_the_models_answer_silence_decides(models: Models) -> None:
    """pipecat#4950: a model that does not answer must not hang the turn."""
    assert 0.4 <= end_of_turn(story(models=models)) - 2.0 <= 0.8


def test_the_endpoint_adapts_to_the_speakers_own_pauses() -> None:
    pauses = [Says(1 + 1.4 * i, 1.7 + 1.4 * i, f"part{i}...") for i in range(8)]
    hasty, slow = [QUESTION], [*pauses, Says(12.2, 13.2, "Done...")]
    models = Models(has_judge=False)
    first = Score(hasty, SETTINGS, models).play(6)
    later = Score(slow, replace(SETTINGS, end_silence_ms=400), Models()).play(18)
    assert end_of_turn(first) < 2.9
    assert len([line for line in later.talk if line.startswith("user")]) == 1, later.talk
    wait_s = later.sent(StateChanged)[2][0] - 13.2
    assert 1.3 <= wait_s <= 1.6, "twice the pauses of 0.7 s"


def test_a_short_yes_is_heard() -> None:
    """pipecat#984."""
    score = Score([Says(1.0, 1.2, "Yes.")], SETTINGS).play(4)
    assert score.talk[0] == "user: Yes."


def test_a_click_is_no_turn() -> None:
    score = Score([Noise(1.0, 1.06)], SETTINGS).play(4)
    assert not score.asked(ef.Transcribe) and not score.asked(ef.Reply)


def test_noise_costs_no_llm_call() -> None:
    score = Score([Noise(1.0, 1.6)], SETTINGS).play(4)
    assert score.asked(ef.Transcribe) and not score.asked(ef.Reply)
    assert score.machine.state is State.WAITING


def test_speech_while_transcribing_joins_the_turn() -> None:
    slow = Models(stt_s=1.0)
    score = Score([Says(1, 2, "I would like"), Says(2.6, 3.4, "a cup of tea.")], SETTINGS, slow)
    assert score.play(9).talk[0] == "user: I would like a cup of tea."


def test_speech_before_the_answer_is_heard_joins_the_turn() -> None:
    slow = Models(llm_s=1.5)
    score = Score([Says(1, 2, "I would like"), Says(2.8, 3.6, "a cup of tea.")], SETTINGS, slow)
    score.play(9)
    assert score.talk[-1] == "agent: It is a test."
    last = [e for _, e in score.effects if isinstance(e, ef.Reply)][-1]
    assert last.chat[-1].content == "I would like a cup of tea."
    assert score.audio_between(0, 3.6) == 0


def test_forty_seconds_without_a_breath_lose_no_word() -> None:
    monologue = " ".join(f"word{i}" for i in range(120))
    score = Score([Says(1, 41, monologue)], SETTINGS).play(45)
    assert score.talk[0] == f"user: {monologue}"
    assert len(score.asked(ef.Transcribe)) == 2


# --- speculation ---


def test_a_draft_is_ready_when_the_turn_ends() -> None:
    """Transcript and reply take 420 ms here; so much earlier they begin than the turn ends."""
    drafted, plain = story(), story(settings=replace(SETTINGS, max_drafts=0))
    gained_s = plain.first_audio_after(2.0) - drafted.first_audio_after(2.0)
    assert gained_s > 0.15
    assert len(drafted.asked(ef.Reply)) == 1, "the draft is the reply"


def test_a_draft_is_kept_back_until_the_turn_has_ended() -> None:
    """agents-js#2059: a superseded reply must not play."""
    fast = Models(stt_s=0.02, llm_s=0.02, tts_s=0.02)
    score = Score([Says(1, 2, "I would like..."), Says(3, 4, "some tea.")], SETTINGS, fast)
    score.play(8)
    assert score.audio_between(0, 4.3) == 0
    assert score.asked(ef.Reply)[0] < 2.2
    assert score.talk == ["user: I would like... some tea.", "agent: It is a test."]


def test_a_draft_is_used_only_for_the_same_words() -> None:
    """A sound that adds no word leaves the draft alive; a word does not."""
    slow = replace(SETTINGS, end_silence_ms=800)
    blip = Score([Says(1, 2, "Tell me."), Noise(2.5, 2.56)], slow).play(8)
    assert len(blip.asked(ef.Reply)) == 1
    word = Score([Says(1, 2, "Tell me."), Says(2.5, 2.8, "now")], slow).play(8)
    assert len(word.asked(ef.Reply)) == 2
    assert word.talk[0] == "user: Tell me. now"


def test_drafts_are_few() -> None:
    """livekit#4219: tokens doubled."""
    stutter = [Says(1 + i, 1.5 + i, f"part{i}...") for i in range(9)]
    score = Score(stutter, SETTINGS).play(15)
    assert len(score.talk) == 2
    assert len(score.asked(ef.Reply)) <= SETTINGS.max_drafts + 1


def test_a_busy_server_drafts_nothing_and_answers_all_the_same() -> None:
    score = story(models=Models(is_busy=True))
    assert score.talk[:2] == ["user: Tell me a story.", f"agent: {STORY}"]
    declined, asked = [e.is_draft for _, e in score.effects if isinstance(e, ef.Reply)]
    assert declined and not asked


def test_a_draft_that_was_declined_is_over_and_needs_no_cancel() -> None:
    """The random conversations found it: a reply that had ended was cancelled."""
    late = Models(is_busy=True, decline_s=0.6)
    score = story(models=late)
    assert score.talk[:2] == ["user: Tell me a story.", f"agent: {STORY}"]
    assert not score.asked(ef.CancelReply)


def test_the_text_so_far_is_told_to_clients_that_ask() -> None:
    """Only what two successive transcripts agree on: nothing is taken back."""
    score = Score([Says(1, 5, "One two three four five six seven eight.")], SETTINGS).play(8)
    told = [message.text for _, message in score.sent(Partial)]
    heard = ["One", "One two three", "One two three four five"]
    assert told == heard, "asked for each second from 1.7 s on, told without the newest second"
    assert all(at_s < 5 for at_s, _ in score.sent(Partial))
    assert score.talk[0] == "user: One two three four five six seven eight."


def test_the_final_text_is_checked_against_the_text_so_far() -> None:
    score = Score([Says(1, 4, "One two three four five six.")], SETTINGS).play(8)
    (final,) = [effect for _, effect in score.effects if isinstance(effect, ef.Transcribe)]
    assert final.hint and "One two three four five six.".startswith(final.hint)


def test_a_guess_is_due_when_the_turn_can_end_at_the_earliest() -> None:
    """Until then it may wait for those whose turns have ended."""
    score = Score([QUESTION], SETTINGS).play(5)
    (guess,) = [effect for _, effect in score.effects if isinstance(effect, ef.Transcribe)]
    assert guess.due_ms == SETTINGS.end_silence_ms - 64


@pytest.mark.parametrize("before_tool", ["", "Let me look. "])
def test_a_tool_waits_for_the_end_of_the_turn(before_tool: str) -> None:
    """The draft needs it long before that, and is asked for anew."""
    models = Models(stt_s=0.02, llm_s=0.02, tts_s=0.02, before_tool=before_tool)
    score = story(models=models)
    declined, asked = [e for _, e in score.effects if isinstance(e, ef.Reply)]
    assert declined.is_draft and not asked.is_draft
    assert asked.chat == declined.chat
    (used_s,) = score.tools_used
    assert used_s > 2.0 + SETTINGS.end_silence_ms / 1000
    assert score.talk[:2] == ["user: Tell me a story.", f"agent: {STORY}"]
    assert not score.asked(ef.CancelReply)


def test_a_turn_that_goes_on_has_used_no_tool_for_its_first_half() -> None:
    models = Models(stt_s=0.02, llm_s=0.02, tts_s=0.02, before_tool="")
    score = Score([Says(1, 2, "Delete it."), Says(2.3, 3, "No, do not.")], SETTINGS, models)
    score.play(8)
    assert len(score.asked(ef.Reply)) >= 2
    (used_s,) = score.tools_used
    assert used_s > 3.0 + SETTINGS.end_silence_ms / 1000


def test_what_was_heard_of_a_draft_is_not_said_again_when_it_needs_a_tool_after_all() -> None:
    """The turn ends while the draft says its first words: they are given, and stay."""
    models = Models(llm_s=0.35, before_tool="Let me look. ")
    score = story(models=models)
    _, rest = [e for _, e in score.effects if isinstance(e, ef.Reply)]
    said = [(message.role, message.content) for message in rest.chat[-3:]]
    assert said == [
        ("user", "Tell me a story."),
        ("assistant", "Let me look."),
        ("user", SETTINGS.continuation),
    ]
    assert score.talk[:2] == ["user: Tell me a story.", f"agent: Let me look. {STORY}"]
    assert len(score.sent(Token)) == 1, "it is one reply"
    last = [e for _, e in score.effects if isinstance(e, ef.Record)][-1]
    assert SETTINGS.continuation not in [message.content for message in last.history]


def test_a_reply_that_goes_on_after_a_declined_draft_can_be_interrupted() -> None:
    models = Models(llm_s=0.35, before_tool="Let me look. ", tool_s=5.0)
    score = story(Says(4.0, 6.0, "No, I wanted another one."), models=models)
    assert score.talk[:3] == [
        "user: Tell me a story.",
        "agent: Let me look.",
        "user: No, I wanted another one.",
    ]
    assert score.sent(Interrupt)


# --- barge-in ---


def test_output_is_held_within_a_frame() -> None:
    score = story(Says(4.0, 6.0, "No, I wanted another one."))
    interrupted_s = score.sent(Interrupt)[0][0]
    assert score.audio_between(4.0 + 0.032 + 0.005 + 0.032, interrupted_s) == 0


def test_a_long_interruption_stops_the_agent_and_becomes_a_turn() -> None:
    score = story(Says(4.0, 6.0, "No, I wanted another one."))
    ((at_s, _),) = score.sent(Interrupt)
    assert at_s - 4.0 <= 0.416 + 0.064
    assert score.talk[2] == "user: No, I wanted another one."
    assert score.client.stale == 0


def test_history_is_what_was_heard() -> None:
    """pipecat#2791, #5605; livekit#2607: one or two words too many."""
    score = story(Says(4.0, 6.0, "No, I wanted another one."))
    heard = score.talk[1].removeprefix("agent: ")
    ((at_s, _),) = score.sent(Interrupt)
    played = int((at_s - 2.0 - score.first_audio_after(2.0)) * 20)
    assert STORY.startswith(heard) and 0 <= played - len(heard) < 10


@pytest.mark.parametrize("sound", [Says(4.0, 4.3, "Uh-huh."), Says(4.0, 4.38, "Yeah, right.")])
def test_a_backchannel_does_not_interrupt(sound: Says) -> None:
    """pipecat#1391, #2788; livekit#3427: the same audio goes on, under the same token."""
    score = story(sound)
    assert not score.sent(Interrupt)
    assert score.talk == ["user: Tell me a story.", f"agent: {STORY}"]
    assert len({audio.token for _, audio in score.sent(AgentAudio)}) == 1


@pytest.mark.parametrize("noise", [Noise(4.0, 4.05), Noise(4.0, 4.2), Noise(4.0, 4.4)])
def test_a_cough_does_not_interrupt(noise: Noise) -> None:
    """livekit#1229, pipecat#4308: silent for ever after a false alarm."""
    score = story(noise)
    assert not score.sent(Interrupt)
    assert score.talk[-1] == f"agent: {STORY}"


def test_a_long_noise_interrupts_but_the_agent_goes_on_where_it_was() -> None:
    score = story(Noise(4.0, 5.2), until_s=16)
    assert len(score.sent(Interrupt)) == 1
    assert len(score.asked(ef.Reply)) == 1, "what is known of the reply is said"
    said = " ".join(line.removeprefix("agent: ") for line in score.talk if "agent" in line)
    assert said == STORY
    assert score.machine.state is State.WAITING


def test_a_second_noise_does_not_make_the_agent_say_it_all_again() -> None:
    score = story(Noise(4.0, 5.2), Noise(13.0, 13.8), Noise(17.0, 17.8), until_s=22)
    said = " ".join(line.removeprefix("agent: ") for line in score.talk if "agent" in line)
    assert said == STORY
    assert score.machine.state is State.WAITING


def test_a_keyboard_does_not_keep_the_agent_from_speaking() -> None:
    clicks = [Noise(3.0 + 0.31 * i, 3.05 + 0.31 * i) for i in range(40)]
    score = story(*clicks, until_s=20)
    assert score.talk[-1] == f"agent: {STORY}"
    assert not score.sent(Interrupt)


def test_a_short_no_interrupts() -> None:
    score = story(Says(4.0, 4.2, "No."))
    ((at_s, _),) = score.sent(Interrupt)
    assert at_s <= 4.6
    assert score.talk[2] == "user: No."


def test_more_words_can_be_asked_for() -> None:
    careful = replace(SETTINGS, interrupt_words=3)
    assert not story(Says(4.0, 4.6, "No."), settings=careful).sent(Interrupt)
    assert story(Says(4.0, 4.9, "No, stop it."), settings=careful).sent(Interrupt)


def test_a_yes_to_the_last_words_is_an_answer() -> None:
    """The boundary of a turn: the user is quick, the agent is about to end."""
    score = story(until_s=12)
    ends_s = score.client.ends_at_s
    score = story(Says(ends_s - 0.3, ends_s - 0.05, "Yes."), until_s=16)
    assert not score.sent(Interrupt)
    assert score.talk[1:3] == [f"agent: {STORY}", "user: Yes."]


def test_interruptions_can_be_switched_off() -> None:
    score = story(Says(4.0, 5.0, "Stop it now."), settings=replace(SETTINGS, interruptions=False))
    assert not score.sent(Interrupt) and score.talk[1] == f"agent: {STORY}"


def test_a_greeting_can_be_uninterruptible() -> None:
    speech = Says(1.0, 2.0, "Hello there, hello.")
    polite = replace(SETTINGS, interruptible_greeting=False)
    score = Score([speech], polite, greeting=STORY).play(8)
    assert not score.sent(Interrupt) and score.talk == [f"agent: {STORY}"]
    assert Score([speech], SETTINGS, greeting=STORY).play(8).sent(Interrupt)


@pytest.mark.parametrize("models", [Models(stt_fails=True), Models(stt_is_mute=True)])
def test_a_hold_ends_also_when_nobody_knows_what_was_said(models: Models) -> None:
    score = Score([Says(1.5, 1.8, "Hm?")], SETTINGS, models, greeting=STORY).play(12)
    assert not score.sent(Interrupt)
    assert score.talk == [f"agent: {STORY}"]


def test_a_late_transcript_still_interrupts() -> None:
    score = Score([Says(1.5, 1.8, "Stop!")], SETTINGS, Models(stt_s=1.8), greeting=STORY).play(12)
    assert score.sent(Interrupt)


# --- one cancel ---


def test_the_client_is_told_first_and_then_the_work_is_cancelled() -> None:
    score = story(Says(4.0, 6.0, "No, I wanted another one."))
    effects = [effect for _, effect in score.effects]
    sent = next(i for i, e in enumerate(effects) if isinstance(e, ef.Send)
                and isinstance(e.message, Interrupt))  # fmt: skip
    assert isinstance(effects[sent + 1], ef.Cancel)


def test_no_audio_of_a_dead_reply_is_sent() -> None:
    """The score's models answer late and never obey a cancel."""
    slow = Models(llm_s=0.4, tts_s=0.5)
    sounds = [Says(2.9 + i, 3.4 + i, "Stop it.") for i in range(0, 12, 2)]
    score = story(*sounds, models=slow, until_s=25)
    assert score.client.stale == 0


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
    score = story(models=Models(stt_is_mute=True), until_s=40)
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
