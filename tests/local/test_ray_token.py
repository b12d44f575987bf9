"""Ray's token is readable by its user alone, and a user's own settings stay as they are."""

import secrets
import threading
from pathlib import Path

import pytest

from serve_app.local.ray_token import ensure_token, use_token

TOKEN = {"RAY_AUTH_MODE": "token"}


def file_in(home: Path) -> Path:
    return home / ".ray" / "auth_token"


def test_a_token_is_made_for_its_user_alone(tmp_path: Path) -> None:
    ensure_token(dict(TOKEN), tmp_path)
    assert len(file_in(tmp_path).read_text()) == 64
    assert file_in(tmp_path).stat().st_mode & 0o777 == 0o600


def test_one_that_ray_has_made_is_kept_and_no_longer_for_all_to_read(tmp_path: Path) -> None:
    file_in(tmp_path).parent.mkdir()
    file_in(tmp_path).write_text("mine")
    file_in(tmp_path).chmod(0o644)
    ensure_token(dict(TOKEN), tmp_path)
    assert file_in(tmp_path).read_text() == "mine"
    assert file_in(tmp_path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "env",
    [
        {"RAY_AUTH_MODE": "disabled"},
        {**TOKEN, "RAY_AUTH_TOKEN": "mine"},
        {**TOKEN, "RAY_AUTH_TOKEN_PATH": "/mine"},
    ],
)
def test_settings_of_the_user_are_left_alone(env: dict[str, str], tmp_path: Path) -> None:
    before = dict(env)
    ensure_token(env, tmp_path)
    assert env == before and not file_in(tmp_path).exists()


def test_where_no_file_can_be_the_processes_inherit_it(tmp_path: Path) -> None:
    no_folder = tmp_path / "home"
    no_folder.write_text("")
    env = dict(TOKEN)
    ensure_token(env, no_folder)
    assert len(env["RAY_AUTH_TOKEN"]) == 64


def test_an_empty_file_is_no_token(tmp_path: Path) -> None:
    file_in(tmp_path).parent.mkdir()
    file_in(tmp_path).write_text("\n")
    ensure_token(dict(TOKEN), tmp_path)
    assert len(file_in(tmp_path).read_text()) == 64


def test_servers_that_start_at_once_have_the_same_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each finds no file, and makes a token."""
    both, found = threading.Barrier(2), list[str]()
    made = secrets.token_hex

    def slowly(size: int) -> str:
        both.wait(10)
        return made(size)

    def start() -> None:
        ensure_token(dict(TOKEN), tmp_path)
        found.append(file_in(tmp_path).read_text())
        both.wait(10)
        found.append(file_in(tmp_path).read_text())

    monkeypatch.setattr(secrets, "token_hex", slowly)
    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1
    assert [path.name for path in file_in(tmp_path).parent.iterdir()] == ["auth_token"]


@pytest.mark.parametrize("env", [{"RAY_AUTH_TOKEN": "mine"}, {"RAY_AUTH_TOKEN_PATH": "/mine"}])
def test_a_command_shows_the_token_that_there_is(env: dict[str, str], tmp_path: Path) -> None:
    none: dict[str, str] = {}
    use_token(none, tmp_path)
    assert not none
    use_token(env, tmp_path)
    assert env["RAY_AUTH_MODE"] == "token"
    ensure_token(dict(TOKEN), tmp_path)
    use_token(none, tmp_path)
    assert none == TOKEN
    off = {"RAY_AUTH_MODE": "disabled"}
    use_token(off, tmp_path)
    assert off == {"RAY_AUTH_MODE": "disabled"}
