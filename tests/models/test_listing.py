"""`echo-serve models` and `echo-serve fetch`, with a small manifest and an index in a directory."""

from pathlib import Path

import pytest

from serve_app.cli import main
from serve_app.models import fetch, listing, manifest
from serve_app.models.manifest import MANIFEST, Artifact
from serve_app.settings.plan import default_models
from tests.models.tiny import store_of_parts


@pytest.fixture
def models(
    tmp_path: Path, parts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Artifact]:
    """The manifest that the commands go by: `tiny` in three parts, and `other`."""
    tiny = store_of_parts(tmp_path, parts, b"one two three")._models["tiny"]
    found = {"tiny": tiny, "other": Artifact("Other", "stt", "MIT", "copy", tiny.wheels)}
    monkeypatch.setattr(manifest, "MANIFEST", found)
    monkeypatch.setattr(fetch, "MANIFEST", found)
    monkeypatch.setenv("ECHO_CACHE_DIR", str(tmp_path / "cache"))
    return found


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """By model, the words of its row."""
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines[1:-1] if line[0] != " "}


def test_what_is_here(
    models: dict[str, Artifact], parts: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert rows(capsys)["tiny"] == ["tts", "0", "MB", "no"]
    late = parts[2].rename(parts[2].parent.parent / parts[2].name)
    assert main(["fetch", "tiny"]) == 2
    assert "tiny-part2==1.0" in capsys.readouterr().err
    assert rows(capsys)["tiny"][-2:] == ["66", "%"]
    late.rename(parts[2])
    assert main(["fetch", "tiny"]) == 0
    capsys.readouterr()
    assert {name: row[-1] for name, row in rows(capsys).items()} == {"tiny": "yes", "other": "no"}


def test_licence_and_default_are_shown(tmp_path: Path) -> None:
    lines = list(listing.table(MANIFEST, tmp_path, default_models()))
    assert lines[-1] == f"in {tmp_path}"
    for name, model in MANIFEST.items():
        (row,) = (i for i, line in enumerate(lines) if line.split()[0] == name)
        assert lines[row].endswith("default") == (name in default_models())
        assert model.licence in lines[row + 1] and model.title in lines[row + 1]


def test_a_model_that_there_is_not(
    models: dict[str, Artifact], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "huge"]) == 2
    assert "'huge' is not known; there are tiny, other" in capsys.readouterr().err


def test_all_models_can_be_fetched(
    models: dict[str, Artifact], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "--all"]) == 0
    capsys.readouterr()
    assert {row[-1] for row in rows(capsys).values()} == {"yes"}
