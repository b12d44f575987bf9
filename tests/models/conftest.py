"""An index for pip, without a network."""

from pathlib import Path

import pytest

from tests.models.tiny import PARTS, build_part


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, which is the only index that pip knows."""
    directory = tmp_path / "index"
    directory.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    return directory


@pytest.fixture
def parts(index: Path) -> list[Path]:
    """The wheels of a model in three parts, in the index."""
    return [build_part(index, number, content) for number, content in enumerate(PARTS)]
