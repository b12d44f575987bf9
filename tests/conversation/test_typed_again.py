"""A client that does not know whether a typed text arrived sends it again, with the same number."""

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.history import ChatMessage, Record
from serve_app.protocol.messages import Transcript
from tests.conversation.score import Score
from tests.conversation.scores import SETTINGS, story


def typed(*texts: tuple[float, str, int], record: Record | None = None) -> Score:
    cues = [(at_s, ev.TextReceived(text, number)) for at_s, text, number in texts]
    return Score([], SETTINGS, cues=cues, is_resumable=True, record=record).play(20.0)


def taken(score: Score) -> list[str]:
    return [told.text for _, told in score.sent(Transcript) if told.role == "user"]


@pytest.mark.parametrize("again_s", [1.1, 1.8, 8.0], ids=["preparing", "speaking", "waiting"])
def test_text_id_a_text_that_comes_again_is_one_turn(again_s: float) -> None:
    score = typed((1.0, "Hello.", 1), (again_s, "Hello.", 1), (12.0, "And now?", 2))
    assert taken(score) == ["Hello.", "And now?"]
    assert score.last_record.text_id == 2


def test_text_id_while_the_user_speaks_a_text_joins_the_turn_once() -> None:
    cues = [(at_s, ev.TextReceived("(a dragon)", 4)) for at_s in (1.5, 1.6, 2.35)]
    score = story(cues=cues, is_resumable=True)
    assert score.talk[0].count("dragon") == 1 and "story" in score.talk[0]
    assert score.last_record.text_id == 4


def test_text_id_counts_once_the_text_is_in_the_history() -> None:
    """If the process dies before that, the client has to send it again."""
    score = story(cues=[(1.5, ev.TextReceived("(a dragon)", 4))], is_resumable=True)
    records = [effect for _, effect in score.effects if isinstance(effect, ef.Record)]
    for record in records:
        is_in = any("dragon" in message.content for message in record.history)
        assert record.text_id == (4 if is_in else 0)


def test_text_id_is_known_after_a_resume() -> None:
    record = Record(
        (ChatMessage("system", "Be kind."), ChatMessage("user", "Hi.")), 2, 1, text_id=7
    )
    score = typed((5.0, "Hi.", 7), (6.0, "Next.", 8), record=record)
    assert taken(score) == ["Next."]
    first = next(effect for _, effect in score.effects if isinstance(effect, ef.Record))
    assert first.text_id == 7 and score.last_record.text_id == 8


def test_texts_without_a_number_are_all_taken() -> None:
    score = typed((1.0, "Hello.", 0), (8.0, "Hello.", 0), (14.0, "Bye.", 3))
    assert taken(score) == ["Hello.", "Hello.", "Bye."]
