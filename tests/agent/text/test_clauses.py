"""A reply as clauses, however its text was cut."""
# ruff: noqa: RUF001 - signs that look like others

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.agent.text.clauses import ClauseLengths, ClauseSplitter, ReplyLengths

NEVER = ClauseLengths(comma=10**6, phrase=10**6, longest=10**6)
SENTENCES = ReplyLengths(NEVER, NEVER, NEVER)
WORDS = """
yes Yes. no, and because U.S. Mr. e.g. 3.5 1,000 1. 3. J. ... … ! ? ) " 'Go.' (so.) — – 。 、 はい
「 」 a@b.io https://a.io/x.y?z=1 averyveryverylongwordindeed
"""
PROSE = st.lists(st.sampled_from([*WORDS.split(), "\n"]), max_size=60).map(" ".join) | st.text(
    alphabet='abA ,.!?;:\n-1é。はい」"…—', max_size=200
)


def split(text: str, size: int = 3, lengths: ReplyLengths | None = None) -> list[str]:
    splitter = ClauseSplitter(lengths)
    clauses = [c for i in range(0, len(text), size) for c in splitter.push(text[i : i + size])]
    return clauses + splitter.flush()


def sentences(text: str) -> list[str]:
    return [clause.strip() for clause in split(text, lengths=SENTENCES)]


@given(PROSE, st.integers(1, 9))
def test_clauses_do_not_depend_on_how_the_text_was_cut(text: str, size: int) -> None:
    assert split(text, size) == split(text, max(1, len(text)))


@given(PROSE)
def test_no_text_is_lost_or_delayed_beyond_the_longest_clause(text: str) -> None:
    clauses = split(text)
    assert "".join(clauses).rstrip() == text.rstrip()
    longest = ReplyLengths().later.longest
    assert all(len(clause.strip()) <= longest for clause in clauses)


@given(PROSE)
def test_a_clause_without_words_is_the_last_or_a_long_row_of_signs(text: str) -> None:
    for clause in split(text)[:-1]:
        assert any(map(str.isalnum, clause)) or len(clause) >= 40


@pytest.mark.parametrize(
    "text",
    [
        "Yes. | It is late! | Is it?",
        "Dr. Smith pays 3.14 dollars. | Mr. Jones pays 1,000.",
        "The U.S. Senate met at 5 p.m. on Monday. | It rained.",
        "He lives in the U.S. | He likes it there.",
        "Bring fruit, e.g. apples, pears etc. | Then we cook, i.e. you do.",
        "We met J. R. R. Tolkien. | Then there is plan B. | That one is better.",
        "The answer is no. | It is final.",
        "It starts at 10.30 or 10:30. | See you.",
        "Am 3. Mai war es kalt, z.B. in Bonn. | Heute nicht.",
        "See https://a.com/x.y?z=1. | Or mail me@a.co.uk. | Bye.",
        "Well... maybe. | Wait... | What?",
        '"Really?" she said. | "Yes." | (It was so.) | "Go." | He went.',
        "i think so. | it is fine.",
        "Really?! | Yes!!! | OK.",
        "これは本です。 | 「はい。」と言った。 | そうですか？！ | はい。",
        "مرحبا؟ | نعم.",
    ],
)
def test_sentences(text: str) -> None:
    parts = text.split(" | ")
    joined = "".join(parts) if "。" in text else " ".join(parts)
    assert sentences(joined) == parts


def test_each_item_of_a_list_is_a_clause() -> None:
    text = "You need:\n1. Two eggs\n2. Milk, half a liter\n\n- Salt. A pinch.\n* Sugar"
    assert [clause.strip() for clause in split(text, lengths=SENTENCES)] == [
        "You need:", "1. Two eggs", "2. Milk, half a liter", "- Salt.", "A pinch.", "* Sugar",
    ]  # fmt: skip


def test_the_first_clause_may_end_at_a_comma_early() -> None:
    assert split("Well then my friend, that is so, is it not, my good old friend, I say.") == [
        "Well then my friend, ",
        "that is so, is it not, ",
        "my good old friend, I say.",
    ]


def test_later_clauses_end_at_a_comma_only_when_long() -> None:
    text = "That is a very good question indeed. Yes, no, maybe, it depends on the weather, I say."
    assert split(text)[1:] == ["Yes, no, maybe, it depends on the weather, ", "I say."]


def test_a_first_sentence_without_commas_is_cut_before_a_conjunction() -> None:
    text = "I would recommend that you call them first because they often close early on Mondays."
    assert split(text)[0] == "I would recommend that you call them first "


@pytest.mark.parametrize("text", ["On May 5, 2024 it ended", "It costs 1,000 or 2,000", "e.g., so"])
def test_not_every_comma_is_a_pause(text: str) -> None:
    assert split(text) == [text]


@pytest.mark.parametrize("text", ["One moment. ", "Eggs\n", "Really?! "])
def test_a_complete_clause_does_not_wait_for_more(text: str) -> None:
    assert ClauseSplitter().push(text) == [text]


@pytest.mark.parametrize("unit", ["word ", "x", "語", "- - a ", "!", '" '])
def test_text_without_punctuation_is_spoken_all_the_same(unit: str) -> None:
    clauses = split(unit * 400)
    assert "".join(clauses) == unit * 400 or unit.endswith(" ")
    assert max(map(len, clauses)) <= ReplyLengths().later.longest
    assert len(clauses) >= 400 * len(unit) / ReplyLengths().later.longest


def test_words_stay_whole() -> None:
    assert set("".join(split("word " * 100)).split()) == {"word"}
    assert all(clause.endswith("word ") for clause in split("word " * 100))
