"""Where other work keeps Ray from starting in time: its agents, which are stopped (SIGSTOP). In the
quick tests `ray.init` only raises what it does then."""

import inspect
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import psutil
import pytest
import ray
from ray._private import node

from bench import providers
from serve_app.local import cluster, processes
from tests.serve.terminal import Place, place

WORDS = "The current node timed out during startup."
TOO_SLOW = Exception(f"{WORDS} This could happen because ...")


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
    assert cast(Mock, processes.end_all).called, "what the first has left would be there beside it"


def test_twice_is_an_error_in_one_line_that_says_what_to_do(started: Mock) -> None:
    started.side_effect = [TOO_SLOW, TOO_SLOW]
    with pytest.raises(SystemExit, match=r"too busy\. End other work and try again") as error:
        server([])._start_ray()
    (line,) = str(error.value).splitlines()
    assert str(TOO_SLOW) in line, "Ray's own words"
    assert re.search(r"/tmp/ray/session_\S+/logs/raylet\.err$", line)
    assert started.call_count == 2


def test_these_are_the_words_of_the_ray_that_is_installed() -> None:
    """Its source has them in pieces, a string on each line."""
    assert WORDS in re.sub(r'"\s+"', "", inspect.getsource(node))


def test_another_error_is_told_as_it_is(started: Mock) -> None:
    started.side_effect = ValueError("no such address")
    with pytest.raises(ValueError, match="no such address"):
        server([])._start_ray()
    assert started.call_count == 1


@contextmanager
def agents_are_stopped(here: Place) -> Iterator[None]:
    """Those of each Ray that is started there, as soon as there are any: no event tells."""
    is_over = threading.Event()

    def stop() -> None:
        while not is_over.wait(0.1):
            for process in here.processes():
                with suppress(psutil.Error):
                    if any(part.endswith("dashboard/agent.py") for part in process.cmdline()):
                        process.suspend()

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.serve
@pytest.mark.models
@pytest.mark.slow  # the tests above, where `ray.init` only says what it says here
@pytest.mark.timeout(400)
def test_a_real_ray_that_is_too_slow_twice(tmp_path: Path) -> None:
    """The line leads to the file in which Ray says why."""
    with providers.provided() as environment, place(tmp_path, environment) as here:
        with agents_are_stopped(here):
            server = here.start()
            server.wait_for("once more ...")
            server.wait_for("raylet.err")
            assert server.end() == 1, server.output
        (line,) = [x for x in server.output.splitlines() if "too busy" in x]
        assert WORDS in line
        why = Path(line.rpartition(" ")[2]).read_text()
        assert "Timed out waiting for file" in why, f"{server.output}\n{why}"
        assert here.processes() == []
