"""A conversation that loses its socket or its process and goes on, as scores in virtual time."""

from dataclasses import replace

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.history import ChatMessage, Record
from serve_app.conversation.open_reply import OpenReply
from serve_app.conversation.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ
from serve_app.protocol.messages import AgentAudio, GoAway, StateChanged
from tests.conversation.score import Says, Score
from tests.conversation.scores import ANSWER_STARTS_S, QUESTION, SETTINGS, STORY, story

GO_ON = SETTINGS.continuation
ASKED = (ChatMessage("system", "Be kind."), ChatMessage("user", "Tell me a story."))


def lost(at_s: float, *sounds: Says) -> Score:
    """The socket of a story is lost."""
    cues = [(at_s, ev.Disconnected())]
    return story(*sounds, cues=cues, muted_from_s=at_s, until_s=at_s + 5, is_resumable=True)


def closing(score: Score) -> tuple[float, int]:
    """When and with which code the conversation ended."""
    return next((at_s, e.code) for at_s, e in score.effects if isinstance(e, ef.CloseSocket))


def resumed(record: Record, *sounds: Says, played_s: float | None = None) -> Score:
    """With `played_s`, the client says how much it has played of the reply in the record."""
    token = record.reply.token if record.reply else ""
    played = None if played_s is None else ev.Played(token, played_s * 1000)
    score = Score(sounds, SETTINGS, is_resumable=True, record=record, played=played)
    score.answer = lambda chat: STORY if chat[-1].content != GO_ON else "and so on."
    return score.play(12.0)


# --- the socket is lost: what is under way is brought to a record ---


def test_a_reply_that_is_being_said_is_recorded_with_what_was_heard_of_it() -> None:
    score = lost(ANSWER_STARTS_S + 2.0)
    assert score.last_record.history == ASKED
    assert score.last_record.reply is not None
    heard, rest = score.last_record.reply.split()
    assert f"{heard} {rest}" == STORY and 4 <= len(heard.split()) <= 10
    assert closing(score) == (ANSWER_STARTS_S + 2.0, 1001)


def test_what_is_said_is_recorded_before_it_is_heard_and_not_again_with_each_piece() -> None:
    """kill -9 leaves no time: the last record tells all that can have been heard."""
    score = story(is_resumable=True)
    records = [e for _, e in score.effects if isinstance(e, ef.Record) and e.reply is not None]
    sent = [at_s for at_s, effect in score.effects if _is_audio(effect)]
    assert "".join(text for text, _ in records[-1].reply.pieces) == STORY
    assert records[-1].reply.is_written
    assert len(records) <= 3 < len(sent)


def _is_audio(effect: ef.Effect) -> bool:
    return isinstance(effect, ef.Send) and isinstance(effect.message, AgentAudio)


def test_a_reply_of_a_client_that_cannot_come_back_is_not_recorded_while_it_is_said() -> None:
    records = [effect for _, effect in story().effects if isinstance(effect, ef.Record)]
    assert not [record for record in records if record.reply is not None]


def test_a_reply_that_nobody_heard_is_not_in_the_history() -> None:
    score = lost(2.42)
    assert score.last_record.history == ASKED


@pytest.mark.parametrize("at_s", [1.9, 2.1, 2.35])
def test_what_the_user_was_saying_is_transcribed_and_not_answered(at_s: float) -> None:
    """In the middle of the words, in the silence after them, while the text is awaited."""
    score = lost(at_s)
    *_, last = score.last_record.history
    assert last.role == "user" and "Tell me a" in last.content
    assert closing(score)[0] <= at_s + 0.3
    assert score.audio_between(at_s, 99) == 0


def test_a_client_that_is_lost_while_nobody_speaks_leaves_at_once() -> None:
    score = Score([], SETTINGS, cues=[(1.0, ev.Disconnected())]).play(3.0)
    assert closing(score) == (1.0, 1001)


def test_what_was_said_since_the_record_is_known_by_its_samples() -> None:
    """A turn that is not recorded begins after them, one that is ends before."""
    score = story(Says(7.0, 8.0, "And then?"), is_resumable=True, until_s=10.0)
    asked = [e for _, e in score.effects if isinstance(e, ef.Transcribe)]
    first, second = asked[0].samples * FRAME_SAMPLES, asked[-1].samples * FRAME_SAMPLES
    heard = {e.history[-1].content: e.heard_samples for e in _records(score)}
    assert first[-1] < heard[STORY] <= second[0]
    assert second[-1] < heard["And then?"]


def test_what_is_said_over_a_reply_is_not_heard_before_it_is_a_turn() -> None:
    starts_s = ANSWER_STARTS_S + 1.0
    score = story(Says(starts_s, starts_s + 0.3, "Right."), is_resumable=True)
    overlap = [e for at_s, e in score.effects if isinstance(e, ef.Record) and e.reply is not None]
    assert all(e.heard_samples <= starts_s * SAMPLE_RATE_HZ for e in overlap[:2])


def _records(score: Score) -> list[Record]:
    return [e for _, e in score.effects if isinstance(e, ef.Record)]


# --- it goes on elsewhere ---


def test_a_question_that_was_not_answered_is_asked_again() -> None:
    score = resumed(Record(ASKED, 4, 2))
    assert score.talk == [f"agent: {STORY}"]
    assert score.last_record.history == (*ASKED, ChatMessage("assistant", STORY))
    assert score.machine.generation == 5


def test_an_answer_that_was_heard_is_not_given_again() -> None:
    history = (*ASKED, ChatMessage("assistant", "One two"))
    score = resumed(Record(history, 4, 2), Says(3.0, 4.0, "Go on."))
    assert score.audio_between(0, 4.0) == 0, "nor is there a second greeting"
    assert score.talk == ["user: Go on.", f"agent: {STORY}"]
    assert score.last_record.history[: len(history)] == history
    assert score.last_record.tokens_issued == 3


def test_the_client_learns_the_state() -> None:
    history = (*ASKED, ChatMessage("assistant", "One two"))
    states = resumed(Record(history, 4, 2)).sent(StateChanged)
    assert [message.state for _, message in states] == ["waiting"]


HALF = 1.55
"""Seconds of STORY: the middle of "seven"."""


def saying(is_written: bool, played_s: float = 0.0) -> Record:
    """The story is being told."""
    reply = OpenReply("token007", ((STORY[:40], 2.0), (STORY[40:], 2.1)), is_written, played_s)
    return Record(ASKED, 4, 2, reply)


def test_a_reply_goes_on_with_the_word_that_was_not_heard() -> None:
    score = resumed(saying(is_written=True), played_s=HALF)
    assert score.talk == [
        "agent: One two three four five six",
        f"agent: {STORY.removeprefix('One two three four five six ')}",
    ]
    assert score.asked(ef.Reply) == [], "all of it is known"
    assert score.last_record.history == (*ASKED, ChatMessage("assistant", STORY))


def test_a_reply_that_was_not_written_to_its_end_is_written_on() -> None:
    score = resumed(saying(is_written=False), played_s=HALF)
    assert score.talk == ["agent: One two three four five six", "agent: and so on."]
    (asked,) = [effect for _, effect in score.effects if isinstance(effect, ef.Reply)]
    assert asked.chat[-2:] == (
        ChatMessage("assistant", "One two three four five six"),
        ChatMessage("user", GO_ON),
    )
    heard = ChatMessage("assistant", "One two three four five six and so on.")
    assert score.last_record.history == (*ASKED, heard)


def test_a_client_that_does_not_tell_is_believed_to_have_heard_what_the_server_thinks() -> None:
    assert resumed(saying(True, HALF)).talk[0] == "agent: One two three four five six"


def test_a_client_that_played_another_reply_last_has_heard_nothing_of_this_one() -> None:
    other = Score([], SETTINGS, is_resumable=True, record=saying(True, HALF))
    other.played = ev.Played("of another reply", 0.0)
    assert other.play(12.0).talk == [f"agent: {STORY}"]


# --- a reply that was sent whole, and that the server took for heard ---


def given(*texts: str) -> Record:
    """Replies of 2 s each, after a question."""
    pieces = [((text, 2.0),) for text in texts]
    replies = tuple(OpenReply(f"token{i}", p, True, 2.0) for i, p in enumerate(pieces))
    history = (*ASKED, ChatMessage("assistant", " ".join(texts)))
    return Record(history, 4, 2, given=replies)


def come_back(record: Record, token: str, played_s: float) -> Score:
    played = ev.Played(token, played_s * 1000)
    return Score([], SETTINGS, is_resumable=True, record=record, played=played).play(12.0)


def test_played_counts_for_a_reply_that_was_sent_whole() -> None:
    """The network was gone before the reply was heard, and the server noticed it after that."""
    record = story(is_resumable=True).last_record
    (reply,) = record.given
    assert record.reply is None and record.history[-1].content == STORY
    score = come_back(record, reply.token, HALF)
    assert score.talk == [
        "agent: One two three four five six",
        f"agent: {STORY.removeprefix('One two three four five six ')}",
    ]
    assert score.asked(ef.Reply) == []
    first = next(e for _, e in score.effects if isinstance(e, ef.Record))
    heard = ChatMessage("assistant", "One two three four five six")
    assert first.history == (*ASKED, heard), "what was not heard is not in the history"
    assert score.last_record.history == (*ASKED, ChatMessage("assistant", STORY))


@pytest.mark.parametrize("short_s", [0.0, 0.05])
def test_a_reply_that_was_played_whole_is_not_said_again(short_s: float) -> None:
    record = story(is_resumable=True).last_record
    (reply,) = record.given
    score = come_back(record, reply.token, reply.duration_s - short_s)
    assert score.talk == [] and score.audio_between(0, 12) == 0


def test_a_reply_of_which_the_client_has_played_nothing_is_said_again() -> None:
    record = story(is_resumable=True).last_record
    score = come_back(record, "the greeting's", 1.0)
    assert score.talk == [f"agent: {STORY}"]
    assert score.last_record.history == (*ASKED, ChatMessage("assistant", STORY))


def test_a_client_that_does_not_tell_has_heard_what_was_sent_whole() -> None:
    assert resumed(story(is_resumable=True).last_record).talk == []


def test_what_was_said_after_the_reply_that_was_played_last_is_said_again_too() -> None:
    """The agent asked whether the user was still there, and the user was not."""
    record = given("It is five.", "Are you there?")
    score = come_back(record, "token0", 2.0)
    assert score.talk == ["agent: It is five.", "agent: Are you there?"]
    assert score.last_record.history == record.history
    assert come_back(record, "token1", 2.0).talk == []
    score = come_back(record, "token1", 0.0)
    assert score.talk == ["agent: Are you there?"], "the client began with it"
    assert score.last_record.history == record.history


def test_a_reply_that_was_being_given_follows_what_was_not_heard_before_it() -> None:
    record = given("It is five.")
    reply = OpenReply("token9", (("Are you there?", 2.0),), True, 1.0)
    score = come_back(replace(record, reply=reply), "token0", 0.0)
    assert score.talk == ["agent: It is five. Are you there?"]


def test_what_the_user_has_answered_was_heard() -> None:
    score = story(Says(8.0, 9.0, "Go on."), is_resumable=True, until_s=9.6)
    assert score.last_record.history[-1].content == "Go on."
    assert score.last_record.given == ()


def test_a_reply_that_was_interrupted_was_not_given_whole() -> None:
    cues = [(4.0, ev.InterruptRequested())]
    assert story(cues=cues, is_resumable=True).last_record.given == ()


def test_a_history_that_ends_otherwise_is_left_as_it_is() -> None:
    record = replace(given("It is five."), history=ASKED)
    assert come_back(record, "token0", 0.0).last_record.history[:2] == ASKED


# --- a reply that was being given ---


def test_a_reply_of_which_nothing_was_heard_is_given_as_it_was_or_anew() -> None:
    assert resumed(saying(is_written=True), played_s=0).talk == [f"agent: {STORY}"]
    anew = resumed(saying(is_written=False), played_s=0)
    assert anew.talk == [f"agent: {STORY}"]
    assert len(anew.asked(ef.Reply)) == 1


def test_a_reply_that_was_heard_to_its_end_is_only_recorded() -> None:
    score = resumed(saying(is_written=True), played_s=99)
    assert score.talk == [f"agent: {STORY}"]
    assert score.audio_between(0, 99) == 0
    assert score.last_record.history == (*ASKED, ChatMessage("assistant", STORY))
    assert score.last_record.reply is None


# --- the server is about to stop ---


def test_a_turn_is_finished_before_the_server_stops() -> None:
    score = story(cues=[(ANSWER_STARTS_S + 1.0, ev.Draining(20.0))], is_resumable=True)
    ((told_s, message),) = score.sent(GoAway)
    assert (told_s, message) == (ANSWER_STARTS_S + 1.0, GoAway(20_000))
    assert score.talk[-1] == f"agent: {STORY}"
    assert closing(score)[1] == 1012
    assert closing(score)[0] > ANSWER_STARTS_S + 3.5


def test_what_is_being_said_is_answered_before_the_server_stops() -> None:
    score = story(cues=[(1.5, ev.Draining(20.0))], is_resumable=True)
    assert score.talk == ["user: Tell me a story.", f"agent: {STORY}"]
    assert closing(score)[1] == 1012


def test_a_session_without_a_turn_moves_at_once() -> None:
    cues = [(0.5, ev.Draining(20.0))]
    score = Score([QUESTION], SETTINGS, cues=cues, is_resumable=True).play(3.0)
    assert closing(score) == (0.5, 1012)
    assert score.talk == []


def test_a_client_that_cannot_come_back_talks_on_until_little_time_is_left() -> None:
    score = story(cues=[(0.5, ev.Draining(900.0)), (ANSWER_STARTS_S + 1.0, ev.Draining(10.0))])
    assert [message.time_left_ms for _, message in score.sent(GoAway)] == [900_000, 10_000]
    assert score.talk == ["user: Tell me a story.", f"agent: {STORY}"]
    assert closing(score)[1] == 1012
