"""`echo-serve keys`."""

import os
import stat
import threading
from pathlib import Path

import pytest

from serve_app.access.keys import KeyRing
from serve_app.cli import main
from serve_app.local import keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "keys.json"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(["keys", *arguments])
    said = capsys.readouterr()
    return status, (said.out + said.err).strip()


def test_a_key_from_its_first_day_to_its_last(
    capsys: pytest.CaptureFixture[str], path: Path
) -> None:
    at = ("--file", str(path))
    status, secret = run(capsys, "add", "phone", "--expires", "30d", *at)
    assert status == 0 and secret.startswith("echo_sk_")
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = KeyRing.read(path.read_text()).find(secret)
    assert found is not None and found.expires_s == pytest.approx(found.created_s + 2_592_000)

    status, listed = run(capsys, "list", *at)
    assert status == 0 and listed.startswith("phone ") and secret not in listed

    status, said = run(capsys, "revoke", "phone", *at)
    assert status == 0 and said.startswith("phone is revoked")
    assert run(capsys, "list", *at) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("add", "a b"), "'a b' is no name"),
        (("add", "a", "--expires", "soon"), "'soon' is no time: 90m, 12h or 30d"),
        (("revoke", "nobody"), "there is no key 'nobody'"),
        (("list",), "is not there: make it with"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(
    capsys: pytest.CaptureFixture[str], path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    status, said = run(capsys, *arguments, "--file", str(path))
    assert status == 2 and said.startswith("echo-serve: ") and reason in said
    assert said.count("\n") == 0 and not path.exists()


def test_the_file_is_that_of_the_server(
    capsys: pytest.CaptureFixture[str], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECHO_KEYS_FILE", raising=False)
    status, said = run(capsys, "add", "phone")
    assert status == 2 and "Set ECHO_KEYS_FILE, args.access.keys_file or --file" in said
    monkeypatch.setenv("ECHO_KEYS_FILE", str(path))
    assert run(capsys, "add", "phone")[0] == 0
    assert path.exists()


def test_a_broken_file_is_not_written_over(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    path.parent.mkdir()
    path.write_text("{")
    status, said = run(capsys, "add", "phone", "--file", str(path))
    assert status == 2 and "is no file of keys" in said
    assert path.read_text() == "{"


def test_a_server_of_another_user_can_still_read_the_file(path: Path) -> None:
    """It would go on with the keys that it knows, those included that were revoked."""
    keys.add(path, "phone", None, lambda line: None)
    path.chmod(0o640)
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(path, 1000, 1000)
    keys.revoke(path, "phone", lambda line: None)
    now = path.stat()
    assert stat.S_IMODE(now.st_mode) == 0o640
    assert not is_root or (now.st_uid, now.st_gid) == (1000, 1000)


def test_several_at_once_lose_nothing(path: Path) -> None:
    names = [f"key-{number}" for number in range(8)]
    threads = [
        threading.Thread(target=keys.add, args=(path, name, None, lambda line: None))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for key in KeyRing.read(path.read_text()).keys} == set(names)
