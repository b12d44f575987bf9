"""What is read aloud of markdown, however the stream is cut."""
# ruff: noqa: E501, RUF001 - tables of examples; letters that look like others

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.agent.text.clauses import ClauseSplitter
from serve_app.agent.text.speakable import Speakable

MARKS = """
a word B. 1. 10 - * ** *** _ __ ` `` ``` ~~ # ## > | |- --- [ ] ]( ) ![ [x] [1] < <b> </b> <br> <3 :)
; : = ! \\ \\* http https://a.io/x?y=(1) www.b.com/q <https://c.io> d@e.io 😀 👍🏽 ❤️ 1️⃣ é はい。 、
"""
MARKUP = (
    st.lists(st.sampled_from([*MARKS.split(), "\n", "\n\n", " "]), max_size=40).map("".join)
    | st.lists(st.sampled_from([*MARKS.split(), "\n"]), max_size=40).map(" ".join)
    | st.text(max_size=80)
)


def speakable(text: str, size: int = 1) -> str:
    stream = Speakable()
    said = [stream.push(text[i : i + size]) for i in range(0, len(text), size)]
    return "".join(said) + stream.flush()


@given(MARKUP, st.integers(1, 9))
def test_what_is_said_does_not_depend_on_how_the_text_was_cut(text: str, size: int) -> None:
    assert speakable(text, size) == speakable(text, max(1, len(text)))


@given(st.lists(st.from_regex(r"[A-Za-zäé]{1,9}('s)?[.,!?;:]?", fullmatch=True), max_size=30))
def test_plain_text_is_said_as_written(words: list[str]) -> None:
    assert speakable(" ".join(words)) == " ".join(words)


@given(
    st.lists(
        st.sampled_from(
            ["word", "B.", "1. ", "10 ", *"-*_#~>|!:\\", "**", "---", "\n", "(", ")", " [no]"]
        )
    )
    .map("".join)
    .filter(lambda text: "](" not in text)  # a link, whose address is not said
)
def test_no_letter_is_lost_with_the_marks(text: str) -> None:
    assert list(filter(str.isalnum, speakable(text))) == list(filter(str.isalnum, text))


@given(st.text(alphabet="ab \n\t.", max_size=60))
def test_white_space_is_single(text: str) -> None:
    said = speakable(text)
    assert "  " not in said and "\n\n" not in said and "\t" not in said
    assert "".join(said.split()).replace(".", "") == "".join(text.split()).replace(".", "")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Hello **world**, *this* is ***it*** and _so_ ~~on~~.", "Hello world, this is it and so on."),
        ("2*3, 2 * 3, snake_case, 5 < 6, a<b, C#, #1", "2*3, 2 * 3, snake case, 5 < 6, a<b, C#, #1"),
        ("See [the **docs**](https://x.y/(a)?b=c), ![a cat](b.png), [x][1].", "See the docs, a cat, x."),
        ("So it is [1], they say[^2]. [sic]", "So it is, they say. [sic]"),
        ("https://www.example.com/x?y=1. Or (http://a.io:80/b).", "example.com. Or (a.io)."),
        ("www.Example.com/x, <https://b.io/c>, <me@a.io>, me@a.io", "Example.com, b.io, me@a.io, me@a.io"),
        ("Open http://localhost:8000/x or http://u:p@a.io", "Open localhost or a.io"),
        ("https:// is a scheme, www. is not", "https:// is a scheme, www. is not"),
        ("Run `pip install foo_bar`, or ``a ` b``.", "Run pip install foo bar, or a b."),
        ("<b>Bold</b> <i class=\"x\">one</i><br/>two<!-- no -->", "Bold one two"),
        ("Great 😀! 👍🏽 Fine ❤️ 👨‍👩‍👧 1️⃣ :-) ok ;) <3", "Great! Fine 1 ok"),
        ("Fine 😀. It is .5 of a .com 😀...", "Fine. It is .5 of a .com..."),
        ("It is 10:30: late; x = 5", "It is 10:30: late; x = 5"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\\*not\\* \\# C:\\dir", "*not* # C: dir"),
        ("It costs $5 & 20%, 20 °C", "It costs $5 & 20%, 20 °C"),
    ],
)  # fmt: skip
def test_within_a_line(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("# Title #\n\nText", "Title.\nText"),
        ("**Title**\n\nText\nmore", "Title.\nText\nmore"),
        (
            "- one\n* **two**: x\n+ three!\n• four\n- [ ] five\n",
            "one.\ntwo: x.\nthree!\nfour.\nfive.\n",
        ),
        ("1. One\n2) Two\n10 apples\n7", "1. One.\n2. Two.\n10 apples\n7"),
        ("  - deep\n> quoted\n", "deep.\nquoted"),
        ("a\n\n---\n***\n\nb", "a.\nb"),
        ("| A | B |\n|---|:-:|\n| 1 | **2** |\n\nc", "A, B.\n1, 2.\nc"),
        ("A | B\n--- | ---\n1 | 2", "A, B.\n1, 2"),
        ("Run this:\n```sh\nls | wc\n# no\n```\n- Done", "Run this:\nDone."),
        ("So ```x = `1` ``` it is", "So it is"),
        ("It begins:\n````\n```\nno\n```\n````\nEnd.", "It begins:\nEnd."),
        ("```\nnever closed", ""),
        ("見出し\n\n- 項目\nhttps://a.jp/xはい", "見出し。\n項目。\na.jpはい"),
        ("- 😀\n- ok 😀.\nso 😀.", "ok.\nso."),
        ("-5 degrees", "-5 degrees"),
    ],
)
def test_lines(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize("text", ["One moment. ", "Yes, ", "Hello there", "Done!\n", "10 apples"])
def test_plain_text_passes_at_once(text: str) -> None:
    assert Speakable().push(text) == text


@pytest.mark.parametrize(
    "opening", ["[", "[a](", "[a](" + "(" * 9, "<a ", "<!--", "www.", "https://", ":"]
)
def test_what_looks_like_markup_is_held_only_so_long(opening: str) -> None:
    stream = Speakable()
    assert len(stream.push(f"{opening}{'x' * 5000}")) > 2900


def test_a_reply_in_markdown_becomes_clauses() -> None:
    written = "## Soup\nYou need:\n\n- **Salt**\n- [Milk](https://shop.io)\n\n1. Boil it. Stir.\n"
    stream, splitter = Speakable(), ClauseSplitter()
    clauses = [c for char in written for c in splitter.push(stream.push(char))]
    clauses += [*splitter.push(stream.flush()), *splitter.flush()]
    assert clauses == ["Soup.\n", "You need:\n", "Salt.\n", "Milk.\n", "1. Boil it. ", "Stir.\n"]
