"""The README shows the states as they are."""

from pathlib import Path

from serve_app.conversation.diagram import diagram

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_holds_the_diagram_of_the_transition_table() -> None:
    assert f"```mermaid\n{diagram()}\n```" in README.read_text(encoding="utf-8"), (
        "run `python -m serve_app.conversation.diagram` and put its output into the README"
    )
