"""What `echo-serve forget` takes for a session, and which files go. With a server, Redis and logs:
tests/serve/test_forget.py."""

from pathlib import Path

import pytest

from serve_app.cli import main
from serve_app.local.forget import remove_logs

NAME, OTHER = "a" * 32, "b" * 32


@pytest.mark.parametrize(
    "session", ["*", "..", "", NAME[:-1], f"{NAME}/x", NAME.upper(), "*.jsonl"]
)
def test_only_the_name_of_a_session_is_one(
    session: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it is said before anything is asked."""
    assert main(["forget", session]) == 2
    assert "32 hexadecimal digits" in capsys.readouterr().err


def test_the_logs_of_one_session_go(tmp_path: Path) -> None:
    for name in (NAME, f"{NAME}.{OTHER}", OTHER, f"{OTHER}.{NAME}"):
        (tmp_path / f"{name}.jsonl").touch()
    (tmp_path / f"{NAME}.txt").touch()
    removed = remove_logs(str(tmp_path), NAME)
    assert [Path(path).name for path in removed] == [f"{NAME}.{OTHER}.jsonl", f"{NAME}.jsonl"]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"{OTHER}.jsonl", f"{OTHER}.{NAME}.jsonl", f"{NAME}.txt"}
    assert remove_logs(str(tmp_path), NAME) == remove_logs("", NAME) == []
