"""The production graph on several Ray nodes of this machine: a head without CPUs, two CPU workers,
and nodes that were told of a GPU, as k8s/base has them. Only the speech model is a smaller one."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import ray
import yaml
from ray import serve
from ray.cluster_utils import Cluster
from ray.serve.context import _get_global_client

from serve_app.app import build
from serve_app.transcription.job import Request
from tests.engines.speech import clip, transcript, word_error_rate
from tests.manifests.objects import KEYS, ROOT

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(180)]

WITHIN_S = 90.0
GPU_NODE = {"num_cpus": 0, "num_gpus": 1}
CPU_NODE = {"num_cpus": 8}
"""One such worker can hold everything: so one can be lost."""


class Nodes:
    """A Ray cluster of processes on this machine."""

    def __init__(self) -> None:
        head = {"num_cpus": 0, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.cpu = [self._cluster.add_node(**CPU_NODE) for _ in range(2)]
        self.gpu = [self._cluster.add_node(**GPU_NODE)]
        ray.init(self._cluster.address, log_to_driver=False, logging_level="error")

    def add_gpu(self) -> None:
        self.gpu.append(self._cluster.add_node(**GPU_NODE))

    def lose(self, nodes: list[Any]) -> None:
        """All processes of the first of these are killed at once."""
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
        nodes = Nodes()
        started = psutil.Process().children(recursive=True)
        serve.start(proxy_location="Disabled")  # all on one address, they would share a port
        yield nodes
        nodes.stop()
    _, alive = psutil.wait_procs(started, timeout=30)
    assert not alive


def deploy(**stt: Any) -> None:
    """configs/serve.gpu.yaml with a speech model that runs here."""
    (application,) = yaml.safe_load((ROOT / "configs/serve.gpu.yaml").read_text())["applications"]
    args = application["args"]
    args["stt"] |= {"model": "packaged", "device": "cpu", "dtype": "auto", "threads": 1} | stt
    target = serve.RunTarget(build(args), name="echo")
    serve.run_many([target], wait_for_applications_running=False)


def replicas() -> dict[str, list[str]]:
    """The nodes of each deployment's running replicas, by Serve's own account."""
    details = _get_global_client().get_serve_details()["applications"]["echo"]["deployments"]
    return {
        name: sorted(r["node_id"] for r in deployment["replicas"] if r["state"] == "RUNNING")
        for name, deployment in details.items()
    }


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline_s, f"{what}: {replicas()}"
        time.sleep(0.2)


def is_whole(nodes: Nodes) -> bool:
    """Every replica runs: transcribers with the GPUs, everything else on CPU workers."""
    found = replicas()
    cpu, gpu = ({node.node_id for node in group} for group in (nodes.cpu, nodes.gpu))
    others = {name: where for name, where in found.items() if name != "SpeechToText"}
    wanted = {"Ingress": 2, "VoiceActivity": 2, "Agent": 2}
    return (
        {name: len(where) for name, where in others.items()} == wanted
        and all(set(where) <= cpu for where in others.values())
        and sorted(found["SpeechToText"]) == sorted(gpu)
    )


def hears() -> None:
    """A transcriber that can be reached writes what was said."""
    handle = serve.get_deployment_handle("SpeechToText", "echo")
    answer = handle.transcribe.remote(Request("session/1", clip("go_forward")))
    text = answer.result(timeout_s=WITHIN_S)
    assert word_error_rate(transcript("go_forward"), text) == 0.0


def test_transcribers_are_where_the_gpus_are_and_nothing_else_is(nodes: Nodes) -> None:
    deploy()
    wait_until(lambda: is_whole(nodes), "not placed")
    hears()


def test_replicas_of_a_lost_worker_come_back_on_the_other(nodes: Nodes) -> None:
    assert any(nodes.cpu[0].node_id in where for where in replicas().values())
    nodes.lose(nodes.cpu)
    wait_until(lambda: is_whole(nodes), "not back")
    hears()


def test_a_transcriber_comes_back_with_the_next_gpu(nodes: Nodes) -> None:
    nodes.lose(nodes.gpu)
    wait_until(lambda: replicas()["SpeechToText"] == [], "still there")
    nodes.add_gpu()
    wait_until(lambda: is_whole(nodes), "not back")
    hears()


def test_a_pool_that_grows_waits_for_its_node(nodes: Nodes) -> None:
    deploy(replicas=2)
    nodes.add_gpu()
    wait_until(lambda: is_whole(nodes), "the second one is not placed")
