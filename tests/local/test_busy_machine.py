"""Where other work keeps Ray from starting in time. That Ray says so by this exception was seen by
stopping its agents (SIGSTOP) for 20 s; here `ray.init` raises it."""

from typing import Any
from unittest.mock import Mock

import pytest
import ray

from serve_app.local import cluster, processes

TOO_SLOW = Exception("The current node timed out during startup. This could happen because ...")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `ray.init` does, each time it is called."""
    init = Mock()
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "get_runtime_context", Mock())
    monkeypatch.setattr(ray, "shutdown", Mock())
    monkeypatch.setattr(processes, "end_all", Mock())
    # Nothing is watched: without this, a thread would wait for a signal.
    monkeypatch.setattr(cluster._Cluster, "_watch", Mock())
    return init


def server(said: list[str]) -> Any:
    return cluster._Cluster({}, {}, None, "", Mock(), said.append)


def test_a_ray_that_is_too_slow_is_started_once_more(started: Mock) -> None:
    started.side_effect = [TOO_SLOW, None]
    said: list[str] = []
    server(said)._start_ray()
    assert said[0] == "Ray was too slow on this busy machine; once more ..."
    assert said[1].startswith("Ray is at")
    assert processes.end_all.called, "what the first one has left would be there beside it"


def test_twice_is_an_error_in_one_line_that_says_what_to_do(started: Mock) -> None:
    started.side_effect = [TOO_SLOW, TOO_SLOW]
    with pytest.raises(SystemExit, match=r"too busy\. End other work and try again") as error:
        server([])._start_ray()
    assert "\n" not in str(error.value)
    assert started.call_count == 2


def test_another_error_is_told_as_it_is(started: Mock) -> None:
    started.side_effect = ValueError("no such address")
    with pytest.raises(ValueError, match="no such address"):
        server([])._start_ray()
    assert started.call_count == 1
