"""Real servers of OpenAI's API that are not ours, from packages that are installed anyway."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serve_app.models import fetch
from serve_app.settings.agent import LlmSettings
from serve_app.settings.packaged import DEFAULT_LLM
from tests.serve.conftest import free_port

CONTEXT_TOKENS = 512
"""Of llama.cpp's server."""
_READY_S = 90.0
_LLAMA_CPP = f"""
import sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = {CONTEXT_TOKENS}, 1, 1
server = xllamacpp.Server(params)
threading.Event().wait()
"""


@contextmanager
def llama_cpp() -> Iterator[LlmSettings]:
    """The HTTP server of llama.cpp, with the default model. It is in xllamacpp."""
    (model,), port = fetch.path(DEFAULT_LLM).glob("*.gguf"), free_port()
    with _running([sys.executable, "-c", _LLAMA_CPP, str(model), str(port)], port):
        # The same answers each time. transformers takes no temperature of 0.
        yield _settings(port, "default").model_copy(update={"temperature": 0.0})


@contextmanager
def transformers_serve(model: Path) -> Iterator[LlmSettings]:
    """`transformers serve` of Hugging Face, with the model in a folder."""
    port, program = free_port(), Path(sys.executable).parent / "transformers"
    command = [str(program), "serve", "--device", "cpu", "--port", str(port), str(model)]
    with _running(command, port):
        yield _settings(port, str(model))


def _settings(port: int, model: str) -> LlmSettings:
    return LlmSettings(
        provider="generic",
        model=model,
        api_url=f"http://127.0.0.1:{port}/v1",
        max_new_tokens=24,
        first_token_timeout_s=60,
        next_token_timeout_s=30,
    )


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    with subprocess.Popen(command, env=os.environ | {"HF_HUB_OFFLINE": "1"}) as process:
        try:
            _wait_until_ready(process, port)
            yield
        finally:
            process.kill()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    due_s = time.monotonic() + _READY_S
    while process.poll() is None and time.monotonic() < due_s:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(f"no server at port {port}; exit status {process.returncode}")
