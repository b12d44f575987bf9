"""The search of tests/serve/test_privacy.py finds what is there, wherever it looks. No server."""

from pathlib import Path

import pytest

from tests.serve.everywhere import files, found_in, missed

WORD, AUDIO = "zqpromptabc", b"\x00\xff(.*\x80"


@pytest.mark.parametrize(
    "content",
    [WORD.encode(), b'{"said": "ZQPromptABC."}', b"\xff\xfe\x00" + WORD.encode() + b"\x00", AUDIO],
)
def test_what_is_there_is_found_and_where_is_said(content: bytes) -> None:
    """In any case, between bytes that are no text, and as bytes."""
    places = {"here": b"before " + content + b" after", "there": b"nothing of it"}
    (hit,) = found_in(places, {"what was said": WORD, "the audio": AUDIO})
    assert " in here: " in hit and "before " in hit


def test_what_is_not_there_is_not_found() -> None:
    assert found_in({"here": b"zqprompt abc"}, {"what was said": WORD, "the audio": AUDIO}) == []


def test_files_are_read_however_deep_they_are(tmp_path: Path) -> None:
    deep = tmp_path / "session" / "logs" / "serve"
    deep.mkdir(parents=True)
    (deep / "replica.log").write_text(WORD)
    (tmp_path / "latest").symlink_to(deep)
    assert files(tmp_path) == {"session/logs/serve/replica.log": WORD.encode()}


def test_a_search_that_is_blind_is_noticed() -> None:
    """Because a place is not looked at, is empty, or is another one than it was taken for."""
    places = {"log of haproxy": WORD.encode(), "metrics of 1": b"", "metrics of 2": b"404"}
    assert missed(places, {"log": WORD}) == []
    assert missed(places, {"log": "up", "metrics": "up", "file": "up"}) == [
        "'up' in log", "'up' in metrics", "'up' in file"
    ]  # fmt: skip
    assert missed(places | {"metrics of 2": b"up 1"}, {"metrics": "up"}) == []
