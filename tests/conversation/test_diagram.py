"""The page on turn taking shows the states as they are."""

from pathlib import Path

from serve_app.conversation.diagram import diagram

PAGE = Path(__file__).parents[2] / "docs" / "turn-taking.md"


def test_the_page_holds_the_diagram_of_the_transition_table() -> None:
    assert f"```mermaid\n{diagram()}\n```" in PAGE.read_text(encoding="utf-8"), (
        "run `python -m serve_app.conversation.diagram` and put its output into the page"
    )
