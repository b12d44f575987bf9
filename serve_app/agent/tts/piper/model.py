"""Piper voices on the CPU."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from pydantic import BaseModel

from serve_app.agent.tts.piper.phonemes import Phonemes
from serve_app.errors import ConfigError
from serve_app.models import fetch as models
from serve_app.settings.agent import JOE

Waveform = npt.NDArray[np.float32]
_PAD, _START, _END = "_", "^", "$"
"""Piper's symbols between phonemes, before and after a sentence."""


class _Audio(BaseModel):
    sample_rate: int


class _Espeak(BaseModel):
    voice: str


class _Inference(BaseModel):
    noise_scale: float
    length_scale: float
    noise_w: float


class _Description(BaseModel):
    """What we need from the JSON file of a Piper voice."""

    audio: _Audio
    espeak: _Espeak
    inference: _Inference
    phoneme_type: str = "espeak"
    phoneme_id_map: dict[str, list[int]]
    num_speakers: int


class PiperModel:
    """A Piper model and the phonemes of its language."""

    def __init__(self, voice: str, threads: int) -> None:
        """`voice`: the path of an .onnx file, or JOE. `threads`: 0 is one per core. Takes about a
        second. Raises ConfigError."""
        onnx = _onnx_path(voice)
        description = _read_description(onnx)
        inference = description.inference
        self.rate_hz = description.audio.sample_rate
        self._ids = description.phoneme_id_map
        self._scales = np.array(
            [inference.noise_scale, inference.length_scale, inference.noise_w], dtype=np.float32
        )
        self._phonemes = Phonemes(description.espeak.voice)
        self._session = _session(onnx, threads or os.cpu_count() or 1)

    def samples(self, text: str) -> Waveform:
        """See Synthesiser."""
        sentences = [self._sentence(symbols) for symbols in self._phonemes.of(text)]
        return np.concatenate(sentences) if sentences else np.zeros(0, dtype=np.float32)

    def _sentence(self, symbols: str) -> Waveform:
        ids = self._encode(symbols)
        inputs = {
            "input": ids[np.newaxis],
            "input_lengths": np.array([len(ids)], dtype=np.int64),
            "scales": self._scales,
        }
        samples: Waveform = self._session.run(None, inputs)[0].reshape(-1)
        return samples

    def _encode(self, symbols: str) -> npt.NDArray[np.int64]:
        """Piper's input: a pad after the start and after every symbol, none after the end."""
        known = (self._ids[symbol] for symbol in symbols if symbol in self._ids)
        padded = [i for ids in known for i in (*ids, *self._ids[_PAD])]
        ids = [*self._ids[_START], *self._ids[_PAD], *padded, *self._ids[_END]]
        return np.array(ids, dtype=np.int64)


def _onnx_path(voice: str) -> Path:
    return models.path(JOE) / "en_US-joe-medium.onnx" if voice == JOE else Path(voice)


def _read_description(onnx: Path) -> _Description:
    path = Path(f"{onnx}.json")
    try:
        description = _Description.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"tts.voice: {path} is not a readable Piper voice description"
            f" ({type(error).__name__}); put the .onnx file and its .onnx.json side by side"
        ) from None
    if description.phoneme_type != "espeak" or description.num_speakers != 1:
        raise ConfigError(
            f"tts.voice: {onnx} uses {description.phoneme_type} phonemes and has"
            f" {description.num_speakers} speakers; take one with espeak phonemes and one speaker"
        )
    return description


def _session(onnx: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle workers must not spin: the chat model needs the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime's exceptions share no base class.
        raise ConfigError(
            f"tts.voice: onnxruntime cannot load {onnx} ({type(error).__name__})"
        ) from None
