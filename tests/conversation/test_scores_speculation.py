"""What is done before the user's turn has ended, as scores in virtual time: see test_scores.py."""

from dataclasses import replace

import pytest

from serve_app.conversation import effects as ef
from serve_app.protocol.messages import Interrupt, Partial, Token
from tests.conversation.score import Models, Noise, Says, Score
from tests.conversation.scores import QUESTION, SETTINGS, STORY, story


def test_a_draft_is_ready_when_the_turn_ends() -> None:
    """Transcript and reply take 420 ms here; so much earlier they begin than the turn ends."""
    drafted, plain = story(), story(settings=replace(SETTINGS, max_drafts=0))
    gained_s = plain.first_audio_after(2.0) - drafted.first_audio_after(2.0)
    assert gained_s > 0.15
    assert len(drafted.asked(ef.Reply)) == 1, "the draft is the reply"


def test_a_draft_is_kept_back_until_the_turn_has_ended() -> None:
    """agents-js#2059: a superseded reply must not play."""
    fast = Models(stt_s=0.02, llm_s=0.02, tts_s=0.02)
    settings = replace(SETTINGS, draft_ahead_ms=SETTINGS.max_silence_ms)
    score = Score([Says(1, 2, "I would like..."), Says(3, 4, "some tea.")], settings, fast)
    score.play(8)
    assert score.audio_between(0, 4.3) == 0
    assert score.asked(ef.Reply)[0] < 2.2
    assert score.talk == ["user: I would like... some tea.", "agent: It is a test."]


def test_nothing_is_drafted_in_a_pause_that_the_model_calls_open() -> None:
    """Each pause cost a request to the LLM: 1.8 for a turn with one pause."""
    score = Score([Says(1, 2, "I would like..."), Says(2.9, 4, "some tea.")], SETTINGS).play(8)
    assert len(score.asked(ef.Reply)) == 1
    assert score.talk == ["user: I would like... some tea.", "agent: It is a test."]


def test_words_that_break_off_are_not_drafted_although_the_model_calls_them_complete() -> None:
    settings = replace(SETTINGS, unfinished_threshold=0.95)
    score = Score([Says(1, 2, "I would like to"), Says(2.9, 4, "sleep.")], settings).play(8)
    assert len(score.asked(ef.Reply)) == 1
    assert score.talk == ["user: I would like to sleep.", "agent: It is a test."]


def test_the_reply_to_a_turn_in_doubt_is_ready_when_it_ends() -> None:
    """It is drafted as long before as it takes."""
    settings = replace(SETTINGS, sentence_silence_ms=1000)
    score = Score([Says(1, 2, "Is it late...?")], settings).play(8)
    (drafted_s,) = score.asked(ef.Reply)
    assert drafted_s - 2.0 == pytest.approx(1.0 - settings.draft_ahead_ms / 1000, abs=0.05)
    assert score.first_audio_after(2.0) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("models", [Models(has_judge=False), Models(judge_is_mute=True)])
def test_without_the_models_answer_each_pause_is_drafted(models: Models) -> None:
    score = Score([Says(1, 2, "I would like"), Says(2.5, 4, "some tea.")], SETTINGS, models)
    drafted_s, *_ = score.play(8).asked(ef.Reply)
    assert drafted_s < 2.3


@pytest.mark.parametrize(
    ("models", "after_ms"),
    [(Models(has_judge=False), 96), (Models(judge_is_mute=True), 320)],
    ids=["there is none", "it does not answer"],
)
def test_the_model_is_waited_for_only_if_it_may_answer(models: Models, after_ms: int) -> None:
    """Until it is asked, and has said that there is none; or until the turn could be judged."""
    settings = replace(SETTINGS, judge_silence_ms=320)
    fast = replace(models, stt_s=0.01, judge_s=0.01)
    score = Score([Says(1, 2, "I would like")], settings, fast).play(8)
    drafted_s, *_ = score.asked(ef.Reply)
    assert drafted_s - 2.0 == pytest.approx(after_ms / 1000, abs=0.04)


def test_what_the_model_said_of_one_silence_is_no_answer_for_the_next() -> None:
    settings = replace(SETTINGS, judge_silence_ms=320)
    slow = Models(stt_s=0.01, judge_s=0.35)
    score = Score([Says(1, 2, "I would like..."), Says(2.6, 4, "some tea.")], settings, slow)
    *_, drafted_s = score.play(8).asked(ef.Reply)
    assert drafted_s - 4.0 == pytest.approx(0.32, abs=0.04)


def test_a_short_answer_is_drafted_before_the_model_has_judged() -> None:
    """The words say enough. Others wait until the turn could be judged."""
    settings = replace(SETTINGS, judge_silence_ms=320)
    mute = Models(judge_is_mute=True, stt_s=0.01)
    drafted_s = {}
    for said in ("Yes please.", "Tell me more."):
        turns = [QUESTION, Says(6, 6.5, said)]
        score = Score(turns, settings, mute, answer=lambda chat: "Shall I?").play(9)
        drafted_s[said] = next(at_s for at_s in score.asked(ef.Reply) if at_s > 6)
    assert drafted_s["Yes please."] < 6.6 < 6.8 < drafted_s["Tell me more."]


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
    settings = replace(SETTINGS, draft_ahead_ms=SETTINGS.max_silence_ms)  # in each pause
    score = Score(stutter, settings).play(15)
    assert len(score.talk) == 2
    assert len(score.asked(ef.Reply)) == SETTINGS.max_drafts + 1


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
