"""The production graph on several Ray nodes on this machine, as in k8s/base: a head without CPUs,
two CPU workers, and nodes that claim to have a GPU. Only the speech model is smaller."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psutil
import pytest
import ray
import yaml
from ray import serve
from ray.cluster_utils import Cluster
from ray.serve.context import _get_global_client
from websockets.sync.client import connect

from serve_app.app import build
from serve_app.stt.job import Request
from tests.manifests.objects import KEYS, ROOT
from tests.serve.call import SERVICE_RESTART, Call
from tests.serve.conftest import free_port, one_at_a_time
from tests.speech import clip, transcript, word_error_rate

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]

WITHIN_S = 120.0
GPU_NODE = {"num_cpus": 0, "num_gpus": 1}
CPU_NODE = {"num_cpus": 8}
"""One worker has room for everything, so the other can be lost."""
CALLS = 8


class Nodes:
    """A Ray cluster of processes on this machine."""

    def __init__(self) -> None:
        head = {"num_cpus": 0, "include_dashboard": False}
        with one_at_a_time():
            self._cluster = Cluster(initialize_head=True, head_node_args=head)
            self.cpu = [self._cluster.add_node(**CPU_NODE) for _ in range(2)]
            self.gpu = [self._cluster.add_node(**GPU_NODE)]
        ray.init(self._cluster.address, log_to_driver=False, logging_level="error")
        self.port = free_port()
        # One proxy: all nodes are on one address, where more would share the port.
        serve.start(proxy_location="HeadOnly", http_options={"port": self.port})

    def add_gpu(self) -> None:
        self.gpu.append(self._cluster.add_node(**GPU_NODE))

    def lose(self, nodes: list[Any]) -> None:
        """Kills all processes of the first of these at once."""
        self._cluster.remove_node(nodes.pop(0), allow_graceful=False)

    def stop(self) -> None:
        serve.shutdown()
        ray.shutdown()
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        others = set(psutil.Process().children(recursive=True))
        nodes = Nodes()
        started = [p for p in psutil.Process().children(recursive=True) if p not in others]
        yield nodes
        nodes.stop()
    _, alive = psutil.wait_procs(started, timeout=30)
    assert not alive


@pytest.fixture
def call(nodes: Nodes) -> Iterator[Callable[[], Call]]:
    """Makes calls that end with the test."""
    url = f"ws://127.0.0.1:{nodes.port}/conversation"
    with ExitStack() as stack:
        yield lambda: Call(stack.enter_context(connect(url, max_size=None)))


def deploy(max_sessions: int = 100, **stt: Any) -> None:
    """configs/serve.gpu.yaml with a speech model that runs here."""
    (application,) = yaml.safe_load((ROOT / "configs/serve.gpu.yaml").read_text())["applications"]
    args = application["args"]
    args["ingress"]["max_sessions"] = max_sessions
    args["stt"] |= {"model": "packaged", "device": "cpu", "dtype": "auto", "threads": 1} | stt
    target = serve.RunTarget(build(args), name="echo")
    serve.run_many([target], wait_for_applications_running=False)


def replicas(field: str = "node_id") -> dict[str, list[str]]:
    """One field of the running replicas of each deployment, as Serve reports it."""
    details = _get_global_client().get_serve_details()["applications"]["echo"]["deployments"]
    return {
        name: sorted(r[field] for r in deployment["replicas"] if r["state"] == "RUNNING")
        for name, deployment in details.items()
    }


def names() -> set[str]:
    """The same for all running replicas."""
    return {name for group in replicas("replica_id").values() for name in group}


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline_s, f"{what}: {replicas()}"
        time.sleep(0.2)


def is_whole(nodes: Nodes) -> bool:
    """Whether every replica runs: transcribers on the GPUs, everything else on CPU workers."""
    found = replicas()
    cpu, gpu = ({node.node_id for node in group} for group in (nodes.cpu, nodes.gpu))
    others = {name: where for name, where in found.items() if name != "SpeechToText"}
    wanted = {"Ingress": 2, "VoiceActivity": 3, "Agent": 2}
    return (
        {name: len(where) for name, where in others.items()} == wanted
        and all(set(where) <= cpu for where in others.values())
        and sorted(found["SpeechToText"]) == sorted(gpu)
    )


def hears() -> None:
    """A transcriber can be reached and writes what was said."""
    handle = serve.get_deployment_handle("SpeechToText", "echo")
    answer = handle.transcribe.remote(Request("session/1", clip("go_forward")))
    heard = answer.result(timeout_s=WITHIN_S)
    assert word_error_rate(transcript("go_forward"), heard.text) == 0.0


def test_transcribers_are_where_the_gpus_are_and_nothing_else_is(nodes: Nodes) -> None:
    deploy()
    wait_until(lambda: is_whole(nodes), "not placed")
    hears()


def test_calls_and_replicas_when_a_worker_is_lost(nodes: Nodes, call: Callable[[], Call]) -> None:
    """Calls on the other worker go on, the others can be made again, and all replicas return."""
    assert nodes.cpu[0].node_id in replicas()["Ingress"]
    calls = [call() for _ in range(CALLS)]
    assert all(c.takes("before") for c in calls)
    nodes.lose(nodes.cpu)
    wait_until(lambda: is_whole(nodes), "not back")
    left = [c for c in calls if c.takes("after")]
    assert 0 < len(left) < CALLS
    assert all(call().takes("again") for _ in range(CALLS - len(left)))
    hears()


def test_a_transcriber_comes_back_with_the_next_gpu(nodes: Nodes) -> None:
    nodes.lose(nodes.gpu)
    wait_until(lambda: replicas()["SpeechToText"] == [], "still there")
    nodes.add_gpu()
    wait_until(lambda: is_whole(nodes), "not back")
    hears()


# No update is quicker. test_drain.py has what a call is told by a server that stops.
@pytest.mark.slow
def test_an_update_takes_new_calls_and_ends_old_ones_with_a_restart(
    nodes: Nodes, call: Callable[[], Call]
) -> None:
    """A call goes on, or is told after its turn that it can be made again at once (1012)."""
    before = names()
    old = call()
    assert old.takes("before")
    deploy(max_sessions=50)
    wait_until(lambda: not set(replicas("replica_id")["Ingress"]) <= before, "nothing is updated")
    assert old.takes("going on") or old.socket.close_code == SERVICE_RESTART
    assert any(call().takes("new") for _ in range(3)), "one may meet the next replica to go"
    old.socket.close()
    wait_until(lambda: is_whole(nodes) and not names() & before, "not updated")
    assert call().takes("afterwards")
