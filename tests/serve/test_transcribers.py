"""The pool of transcribers on a real local Ray that was told of two GPUs it does not have."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import pytest
import ray
from ray import serve

from bench.stt_pool import replica_pids
from serve_app.app import transcribers
from serve_app.ingress.transcribers import TranscriberPool
from serve_app.protocol.messages import Samples
from serve_app.settings.environment import load
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import SttSettings
from serve_app.stt.job import Heard, Request
from tests.serve.conftest import one_at_a_time
from tests.speech import TRANSCRIPTS, clip, transcript, word_error_rate

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]

GPUS = 2
STT = SttSettings(device="cpu", threads=1)
WITHIN_S = 120.0  # for a minute of speech, on a machine that does something else, too


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    others = set(psutil.Process().children(recursive=True))
    with one_at_a_time():
        ray.init(
            "local",  # whatever else runs on the machine
            num_cpus=4,
            num_gpus=GPUS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
        )
    started = [p for p in psutil.Process().children(recursive=True) if p not in others]
    yield
    serve.shutdown()
    ray.shutdown()
    _, alive = psutil.wait_procs(started, timeout=30)
    assert not alive


def deploy(**changes: Any) -> Any:
    """The pool with these settings; returns its handle."""
    settings = STT.model_copy(update=changes)
    return serve.run(transcribers(settings), name="pool", route_prefix=None)


def free_gpus() -> float:
    """As Ray's own scheduler says."""
    return float(ray.available_resources().get("GPU", 0.0))


def wait_until(is_so: Any, what: str) -> None:
    """Ray's tables follow its decisions a moment later."""
    deadline_s = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.2)


def minute() -> list[Samples]:
    """Twelve different utterances of 20 s: several seconds of work for each of two replicas."""
    whole = np.concatenate([clip(name) for name in TRANSCRIPTS])
    return [whole[i * 16_000 : (i + 20) * 16_000] for i in range(12)]


# --- where replicas are placed ---


# The quicker one: the same test with a whole GPU for each.
@pytest.mark.parametrize(
    "share, left", [(1.0, 0.0), pytest.param(0.5, 1.0, marks=pytest.mark.slow)]
)
def test_each_replica_is_pinned_to_its_share_of_a_gpu(
    cluster: None, share: float, left: float
) -> None:
    deploy(replicas=2, num_gpus=share)
    assert len(replica_pids()) == 2
    wait_until(lambda: free_gpus() == left, f"{free_gpus()} GPUs are free, not {left}")


def test_the_production_configuration_asks_for_a_whole_gpu(cluster: None) -> None:
    args = {"stt": {"num_gpus": "auto"}}
    env = {"OPENAI_API_KEY": "x", "ELEVEN_LABS_API_KEY": "x"}
    assert resolve(load(args, env), env, gpus=GPUS).stt.num_gpus == 1.0
    assert resolve(load(args, env), env, gpus=0.0).stt.num_gpus == 0.0


# --- what replicas do ---


async def test_a_replica_that_is_killed_loses_no_text(cluster: None) -> None:
    """One of two busy replicas is killed (SIGKILL): each text still comes, once, from the other."""
    handle = await asyncio.to_thread(deploy, replicas=2, num_gpus=0.5)
    asked: list[str] = []

    def ask(request: Request) -> Any:
        asked.append(request.key)
        return handle.transcribe.remote(request)

    pool = TranscriberPool(STT.model_copy(update={"replicas": 2, "timeout_s": WITHIN_S}), ask)
    speech = minute()
    tasks = [
        asyncio.create_task(pool.transcribe(Request(f"session/{i}/1", samples)))
        for i, samples in enumerate(speech)
    ]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    os.kill(replica_pids()[0], signal.SIGKILL)
    texts = [heard.text for heard in await asyncio.gather(*tasks)]
    assert all(len(text.split()) > 30 for text in texts), texts
    assert len(asked) > len(speech), "some were asked of the other replica"


async def test_the_texts_are_right(cluster: None) -> None:
    handle = await asyncio.to_thread(deploy, replicas=1, num_gpus=1.0)
    pool = TranscriberPool(STT, handle.transcribe.remote)
    names = ("go_forward", "librivox_0930", "librivox_0920")
    requests = [Request(f"session/{name}", clip(name)) for name in names]
    texts = await asyncio.gather(*(pool.transcribe(request) for request in requests))
    for name, heard in zip(names, texts, strict=True):
        assert heard.language == "en"
        assert word_error_rate(transcript(name), heard.text) <= 0.2, heard


async def test_a_caller_that_leaves_frees_the_replica(cluster: None) -> None:
    """A minute of work is dropped, and the next text does not wait for it."""
    handle = await asyncio.to_thread(deploy, replicas=1, num_gpus=1.0)
    pool = TranscriberPool(STT, handle.transcribe.remote)
    whole = np.tile(clip("librivox_0870"), 4)[: 29 * 16_000]
    queued = [asyncio.create_task(pool.transcribe(Request(f"gone/{i}", whole))) for i in range(40)]
    await asyncio.sleep(0)
    text = pool.transcribe(Request("session/1", clip("go_forward")))
    for task in queued:
        task.cancel()
    assert word_error_rate(transcript("go_forward"), (await text).text) == 0.0
    assert all(task.cancelled() for task in await _ended(queued))


async def _ended(tasks: list["asyncio.Task[Heard]"]) -> list["asyncio.Task[Heard]"]:
    await asyncio.gather(*tasks, return_exceptions=True)
    return tasks


@pytest.mark.slow  # tests/deployments/test_scaling.py has what is decided
async def test_the_pool_grows_when_speech_waits(cluster: None) -> None:
    scaling = {"max_replicas": 2, "target_wait_ms": 20.0, "upscale_delay_s": 0.0}
    await asyncio.to_thread(serve.delete, "pool")  # or it would keep its two replicas
    handle = await asyncio.to_thread(deploy, replicas=1, num_gpus=1.0, **scaling)
    assert len(replica_pids()) == 1
    pool = TranscriberPool(STT.model_copy(update={"timeout_s": WITHIN_S}), handle.transcribe.remote)
    request = Request("", clip("librivox_0870"))
    stop = asyncio.Event()

    async def keep_asking(number: int) -> None:
        for turn in range(10_000):
            if stop.is_set():
                return
            await pool.transcribe(replace(request, key=f"{number}/{turn}"))

    askers = [asyncio.create_task(keep_asking(number)) for number in range(16)]
    try:
        await asyncio.to_thread(
            wait_until, lambda: len(replica_pids()) == 2, "the pool does not grow"
        )
    finally:
        stop.set()
        await asyncio.gather(*askers)
