"""Piper voices on the CPU."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from pydantic import BaseModel

from serve_app.agent.engines import Speech, TtsEngine
from serve_app.agent.tts.piper.phonemes import Phonemes
from serve_app.errors import ConfigError, EngineError, EngineTimeout
from serve_app.models import fetch as models
from serve_app.protocol.formats import parse_format
from serve_app.settings.agent import TtsSettings
from serve_app.settings.base import PACKAGED

_PACKAGED_VOICE = ("piper-en-us-joe", "en_US-joe-medium.onnx")
_PAD, _START, _END = "_", "^", "$"
"""Piper's symbols between phonemes, before and after a sentence."""
_PCM_PEAK = 32767


class PiperVoice(TtsEngine):
    """A local voice: each clause becomes one Speech.

    One thread synthesises for all replies. A reply has at most one clause in its queue, so
    replies that overlap take turns, clause by clause.
    """

    def __init__(self, settings: TtsSettings) -> None:
        """Loads the voice, which takes about a second. Raises ConfigError."""
        self._model = _Model(_onnx_path(settings.voice), settings.threads or os.cpu_count() or 1)
        self._timeout_s = settings.first_audio_timeout_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="piper")
        self.format = parse_format(f"pcm_{self._model.rate_hz}")

    def warm_up(self) -> None:
        """Speaks once: gruut and onnxruntime load much of what they need at the first clause."""
        self._thread.submit(self._model.pcm, "Hello, how can I help you today?").result()

    async def speak(
        self, clauses: AsyncIterator[str], voice: str = ""
    ) -> AsyncGenerator[Speech, None]:
        """See TtsEngine. A clause without words yields its text and no audio.

        `voice` is ignored: there is one voice, and the ingress lets no client ask for another.

        Raises EngineTimeout when a clause takes longer than `first_audio_timeout_s`, including
        its time in the queue.
        """
        async for clause in clauses:
            yield Speech(await self._synthesise(clause), clause)

    async def aclose(self) -> None:
        """Drops what is queued, and waits for the current clause."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _synthesise(self, clause: str) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await loop.run_in_executor(self._thread, self._model.pcm, clause)
        except TimeoutError:
            raise EngineTimeout("tts", f"no audio within {self._timeout_s:g} s") from None


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


class _Model:
    """A Piper model and the phonemes of its language. Used by one thread at a time."""

    def __init__(self, onnx: Path, threads: int) -> None:
        description = _read_description(onnx)
        inference = description.inference
        self.rate_hz = description.audio.sample_rate
        self._ids = description.phoneme_id_map
        self._scales = np.array(
            [inference.noise_scale, inference.length_scale, inference.noise_w], dtype=np.float32
        )
        self._phonemes = Phonemes(description.espeak.voice)
        self._session = _session(onnx, threads)

    def pcm(self, clause: str) -> bytes:
        """Signed 16-bit mono at `rate_hz`; empty when the clause has no words."""
        try:
            return b"".join(self._sentence(symbols) for symbols in self._phonemes.of(clause))
        except Exception as error:
            # Only the type of the error: its message may quote what is being said.
            raise EngineError("tts", f"the voice failed ({type(error).__name__})") from error

    def _sentence(self, symbols: str) -> bytes:
        ids = self._encode(symbols)
        inputs = {
            "input": ids[np.newaxis],
            "input_lengths": np.array([len(ids)], dtype=np.int64),
            "scales": self._scales,
        }
        samples = self._session.run(None, inputs)[0].reshape(-1)
        pcm: npt.NDArray[np.int16] = (np.clip(samples, -1.0, 1.0) * _PCM_PEAK).astype("<i2")
        return pcm.tobytes()

    def _encode(self, symbols: str) -> npt.NDArray[np.int64]:
        """Piper's input: a pad after the start and after every symbol, none after the end."""
        known = (self._ids[symbol] for symbol in symbols if symbol in self._ids)
        padded = [i for ids in known for i in (*ids, *self._ids[_PAD])]
        ids = [*self._ids[_START], *self._ids[_PAD], *padded, *self._ids[_END]]
        return np.array(ids, dtype=np.int64)


def _onnx_path(voice: str) -> Path:
    if voice == PACKAGED:
        name, file_name = _PACKAGED_VOICE
        return models.path(name) / file_name
    return Path(voice)


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
