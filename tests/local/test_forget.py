"""What `echo-serve forget` takes for a session, and which files go. With a server, Redis and logs:
tests/serve/test_forget.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import AuthenticationError, GetTimeoutError

from serve_app.cli import main
from serve_app.local import forget as module
from serve_app.local.forget import forget, remove_logs
from serve_app.records.erasing import remove_records
from tests.serve.conftest import config_with

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


def test_the_records_of_one_session_go(tmp_path: Path) -> None:
    """Those that wait, those that are being delivered, and those that were."""
    spool, records = tmp_path / "spool", tmp_path / "records"
    records.mkdir()
    for owner, name in (("1", NAME), ("2", f"{NAME}.{OTHER}"), ("2", OTHER)):
        (spool / owner / name).mkdir(parents=True)
        (spool / owner / name / "call.jsonl").touch()
    mine = [f"{NAME}.json", f"{NAME}.flac", f"{NAME}.{OTHER}.json", f".{NAME}.{OTHER}.flac.part"]
    theirs = [f"{OTHER}.json", f".{OTHER}.{NAME}.flac.part"]
    for name in (*mine, *theirs):
        (records / name).touch()
    removed = remove_records(str(spool), str(records), NAME)
    assert len(removed) == 2 + len(mine)
    assert {path.name for path in spool.glob("*/*")} == {OTHER}
    assert {path.name for path in records.iterdir()} == set(theirs)
    assert remove_records(str(spool), str(records), NAME) == []
    assert remove_records(str(tmp_path / "nowhere"), "", NAME) == []


@pytest.mark.parametrize("address", ["auto", "10.0.0.7:6379"])
def test_a_token_that_the_server_does_not_take_is_said_with_what_to_do(
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It was a traceback."""

    def init(*arguments: object, **options: object) -> None:
        raise AuthenticationError("the authentication token is invalid or incorrect")

    monkeypatch.setattr(ray, "init", init)
    config = config_with(tmp_path, 4000)
    assert main(["forget", NAME, "--config", str(config), "--address", address]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "takes another token" in line and "RAY_AUTH_TOKEN" in line
    assert (address in line) == (address != "auto")


class Nodes:
    """A cluster of three: one answers, one does not, and one is gone."""

    def nodes(self) -> list[dict[str, Any]]:
        alive = {"10.0.0.7": True, "10.0.0.8": True, "10.0.0.9": False}
        return [
            {"NodeID": f"{number:056x}", "NodeManagerAddress": address, "Alive": is_alive}
            for number, (address, is_alive) in enumerate(alive.items())
        ]

    def remote(self, **options: Any) -> Any:
        return lambda function: Task(function)

    def get(self, asked: "tuple[str, list[str]]", timeout: float) -> list[str]:
        node, logs = asked
        if int(node, 16):
            raise GetTimeoutError(f"no answer within {timeout} s")
        return logs


class Task:
    def __init__(self, function: Any, node: str = "") -> None:
        self._function, self._node = function, node

    def options(self, scheduling_strategy: Any) -> "Task":
        return Task(self._function, scheduling_strategy.node_id)

    def remote(self, *arguments: Any) -> Any:
        return self._node, [] if int(self._node, 16) else self._function(*arguments)


@pytest.mark.parametrize(
    ("url", "told_of_it"),
    [("", "removed"), ("https://me:secret@example.com/x?key=1", "https://example.com/x is out of")],
)
def test_a_node_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, told_of_it: str
) -> None:
    """What it keeps may be all that was said: it was left out, and the command said that there was
    nothing."""

    @contextmanager
    def cluster(address: str) -> Iterator[bool]:
        yield True

    logs, nodes = tmp_path / "logs", Nodes()
    logs.mkdir()
    (logs / f"{NAME}.jsonl").touch()
    for name in ("nodes", "remote", "get"):
        monkeypatch.setattr(ray, name, getattr(nodes, name))
    monkeypatch.setattr(module, "_cluster", cluster)
    monkeypatch.setattr(module, "_from_actors", lambda session, report: True)
    records = {"url": url or str(tmp_path / "records"), "spool_dir": str(tmp_path / "spool")}
    (tmp_path / "spool" / "1" / NAME).mkdir(parents=True)
    ingress = {"event_log_dir": str(logs), "records": records}
    config = config_with(tmp_path, 4000, ingress=ingress)
    told: list[str] = []
    assert not forget(config, NAME, "auto", told.append)
    (about_logs,) = [line for line in told if line.startswith("  event logs")]
    assert "(on 10.0.0.7); no answer from 10.0.0.8" in about_logs
    assert "10.0.0.9" not in about_logs
    (about_records,) = [line for line in told if line.startswith("  records")]
    assert f"{NAME} (on 10.0.0.7); no answer from 10.0.0.8" in about_records
    assert told_of_it in about_records and "secret" not in about_records
