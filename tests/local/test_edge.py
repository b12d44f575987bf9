"""What a start removes of servers that were killed, and what it does not even open."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serve_app.local.leftovers import MARKER, namespace
from tests.local.test_leftovers import of_a_dead_process

_SOMEBODY_ELSE = 12_345
_LOOKS = """
import sys
from serve_app.local import edge
edge._PARENT = sys.argv[1]
looking = ("open", "os.listdir", "os.scandir", "shutil.rmtree")
sys.addaudithook(lambda event, told: event in looking and print(told[0], flush=True))
edge.remove_leftovers()
"""


def looked_at(parent: Path) -> list[str]:
    """What is opened, listed or removed there by a clean-up, which must not wait for anybody."""
    command = [sys.executable, "-c", _LOOKS, str(parent)]
    found = subprocess.check_output(command, text=True, timeout=20.0)
    return [line for line in found.splitlines() if line.startswith(f"{parent}/")]


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """Stands for /tmp."""
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def left(folder: Path) -> Path:
    """As a killed server of this user leaves it."""
    folder.mkdir()
    (folder / "owner").write_text(f"{of_a_dead_process()[MARKER]} {namespace(os.getpid())}")
    return folder


def of_another_user(place: Path) -> None:
    if os.getuid():
        pytest.skip("only root may give a folder away")
    left(place)
    os.chown(place, _SOMEBODY_ELSE, _SOMEBODY_ELSE)


def a_pipe_of_another_user(place: Path) -> None:
    """To open it is to wait for whoever writes."""
    of_another_user(place)
    (place / "owner").unlink()
    os.mkfifo(place / "owner")


def a_link(place: Path) -> None:
    place.symlink_to(left(place.parent.parent / "elsewhere"))


def a_link_to_a_pipe(place: Path) -> None:
    a_link(place)
    (place / "owner").unlink()
    os.mkfifo(place / "owner")


def a_file(place: Path) -> None:
    place.write_text("1/1")


def test_a_killed_servers_folder_is_removed(parent: Path) -> None:
    folder = left(parent / "echo-serve-a")
    looked_at(parent)
    assert not folder.exists()


@pytest.mark.parametrize(
    "put", [of_another_user, a_pipe_of_another_user, a_link, a_link_to_a_pipe, a_file]
)
def test_what_is_not_this_users_folder_is_neither_opened_nor_followed(
    parent: Path, put: Callable[[Path], None]
) -> None:
    strange, ours = parent / "echo-serve-a", left(parent / "echo-serve-b")
    put(strange)
    before = strange.lstat()
    assert [path for path in looked_at(parent) if path.startswith(str(strange))] == []
    assert strange.lstat() == before
    assert not ours.exists(), "the others go all the same"


def linked(folder: Path) -> None:
    """To a file that says what a killed server's says."""
    (folder / "owner").rename(folder / "another")
    (folder / "owner").symlink_to(folder / "another")


def piped(folder: Path) -> None:
    (folder / "owner").unlink()
    os.mkfifo(folder / "owner")


@pytest.mark.parametrize("change", [linked, piped])
def test_an_owner_that_is_no_plain_file_says_nothing(
    parent: Path, change: Callable[[Path], None]
) -> None:
    folder = left(parent / "echo-serve-a")
    change(folder)
    looked_at(parent)
    assert folder.is_dir()
