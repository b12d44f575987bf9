"""Ray's token is readable by its user alone, and a user's own settings stay as they are."""

from pathlib import Path

import pytest

from serve_app.local.ray_token import ensure_token

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
