"""Three ways to transcribe on the CPU with the same weights (Whisper tiny.en)."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from serve_app.models import fetch as models
from serve_app.models.manifest import read_manifest
from serve_app.protocol.messages import Samples
from serve_app.settings.schema import SttSettings
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.transcriber import WhisperEngine

Transcribe = Callable[[Samples], str]

MANIFEST = read_manifest(Path(__file__).with_name("stt_peers.json"))


def ours(threads: int) -> WhisperEngine:
    """The transcriber as `configs/serve.yaml` runs it: int8, a window as short as the speech."""
    engine = WhisperEngine(SttSettings(device="cpu", threads=threads))
    engine.warm_up()
    return engine


def alone(engine: WhisperEngine) -> Transcribe:
    return lambda samples: engine.transcribe_now([Utterance(samples)])[0]


def faster_whisper(threads: int) -> Transcribe:
    """faster-whisper in int8, greedy and without fall-backs: its fastest mode."""
    from faster_whisper import WhisperModel  # not installed for anything but this benchmark

    path = models.ModelStore(MANIFEST, models.cache_dir()).path("whisper-tiny.en-ct2", print)
    model = WhisperModel(str(path), device="cpu", compute_type="int8", cpu_threads=threads)

    def transcribe(samples: Samples) -> str:
        segments, _ = model.transcribe(samples, language="en", beam_size=1, temperature=0.0)
        return " ".join(segment.text.strip() for segment in segments)

    return transcribe


def stock_pipeline(threads: int) -> Transcribe:
    """transformers' own pipeline in float32, as its documentation shows it."""
    from transformers import pipeline

    logging.getLogger("transformers").setLevel(logging.ERROR)
    torch.set_num_threads(threads)
    source = str(models.path("whisper-tiny.en"))
    pipe: Any = pipeline("automatic-speech-recognition", model=source, device="cpu")

    def transcribe(samples: Samples) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(pipe(samples.copy())["text"]).strip()

    return transcribe
