"""One table of close codes, and everything that says something about them agrees with it."""

import re
from pathlib import Path

import pytest

from serve_app import errors
from serve_app.protocol.close_codes import CloseCode, may_come_back, table

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.VoiceError)
}
INSIDE = {errors.ConfigError, errors.DraftDeclined, errors.ToolFailed, errors.VoiceError}
"""No client sees these."""


@pytest.mark.parametrize("code", CloseCode, ids=lambda code: code.name)
def test_44xx_is_the_last_word_and_45xx_never_is(code: CloseCode) -> None:
    assert may_come_back(code) is may_come_back(code.value) is code.may_come_back
    if code >= 4000:
        assert code.may_come_back is (code >= 4500)


@pytest.mark.parametrize(("number", "may"), [(1005, False), (1014, False), (4599, True)])
def test_codes_that_are_not_ours(number: int, may: bool) -> None:
    assert may_come_back(number) is may


def test_one_page_of_the_docs_holds_the_table() -> None:
    header, *_ = table().splitlines()
    holding = [text for page in PAGES if header in (text := page.read_text(encoding="utf-8"))]
    assert len(holding) == 1 and table() in holding[0], (
        "run `python -m serve_app.protocol.close_codes` and put its output where the old table is"
    )


# --- the docstring of the errors ---


def rows() -> dict[str, tuple[set[int], str]]:
    """By error: its close codes, and what the tree says about coming back."""
    found: dict[str, tuple[set[int], str]] = {}
    _, *lines = (errors.__doc__ or "").split("\n\n")[1].splitlines()
    for line in lines:
        cells = re.split(r" {2,}", line.strip(" │├└─"))
        if "──" in line:
            name, codes, answer = cells
            found[name] = (set(), answer)
        else:
            (codes,) = cells
        found[name][0].update(map(int, re.findall(r"\d+", codes)))
    return found


def test_the_tree_of_errors_is_whole() -> None:
    assert set(rows()) == set(CLASSES) - {"VoiceError"}


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"VoiceError"}))
def test_an_error_closes_with_the_codes_that_the_tree_says(name: str) -> None:
    kind, (codes, answer) = CLASSES[name], rows()[name]
    if kind in INSIDE:
        assert not codes
    elif kind is errors.ProtocolViolation:
        assert all(errors.ProtocolViolation("", CloseCode(c)).close_code == c for c in codes)
    else:
        assert codes == {kind.close_code}
    assert {may_come_back(code) for code in codes} <= {answer.startswith("yes")}
