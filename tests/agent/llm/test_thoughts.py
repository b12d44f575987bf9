"""Thoughts in the text of a reply, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.agent.llm.thoughts import ThoughtFilter


def said(*pieces: str, starts_within: bool = False) -> str:
    thoughts = ThoughtFilter(starts_within)
    return "".join([*map(thoughts.push, pieces), thoughts.flush()])


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Fine.", "Fine."),
        ("<think>Hm.</think>Fine.", "Fine."),
        ("<THINK>Hm.</Think>\n\nFine.", "Fine."),
        ("\n<think>\n\n</think>\n\nFine.", "Fine."),
        ("A<think>1</think>B<thinking>2</thinking>C", "ABC"),
        ("Fine.<think>for ever", "Fine."),
        ("<think>for ever", ""),
        ("<think>what is a <think> tag?</think>Fine.", "Fine."),
        ("<think>a </thinking> b</think>Fine.", "Fine."),
        ("[THINK]Hm.[/THINK]Fine.", "Fine."),
        ("◁think▷Hm.◁/think▷Fine.", "Fine."),
        ("<seed:think>Hm.</seed:think>Fine.", "Fine."),
        ("<|channel|>analysis<|message|>Hm.<|end|><|channel|>final<|message|>Fine.", "Fine."),
        ('<tool_call>{"name": "f"}</tool_call>Fine.', "Fine."),
        ("Hm.</think>Fine.", "Hm.Fine."),
        ("1 < 2 and [this] <b>too</b> <thi", "1 < 2 and [this] <b>too</b> <thi"),
        ("Is <thinkable> a word?", "Is <thinkable> a word?"),
    ],
)  # fmt: skip
def test_what_is_said_however_it_is_cut(text: str, spoken: str) -> None:
    assert said(text) == spoken
    assert said(*text) == spoken
    for cut in range(len(text)):
        assert said(text[:cut], text[cut:]) == spoken


def test_a_first_thought_may_begin_without_a_tag() -> None:
    assert said("Hm.</th", "ink>Fine.<think>2</think>", starts_within=True) == "Fine."


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "thi", "nk>", "a", " ", "İ", "[TH"])))
def test_the_cut_makes_no_difference(pieces: list[str]) -> None:
    assert said(*pieces) == said("".join(pieces))


def test_plain_text_passes_at_once() -> None:
    thoughts = ThoughtFilter()
    assert [thoughts.push(piece) for piece in ("Hel", "lo", " <b", ">")] == [
        "Hel",
        "lo",
        " <b",
        ">",
    ]
