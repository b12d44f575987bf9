"""Whisper with a window that is hardly longer than the speech: most utterances last 1 to 5 s, and
padding to 30 s would be several times the work."""

import logging
import math
import warnings
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

from serve_app.conversation.settings import SAMPLE_RATE_HZ, WHISPER_WINDOW_S
from serve_app.conversation.words import words
from serve_app.devices import (
    can_halve_weights,
    halve_weights,
    resolve_device,
    use_threads,
)
from serve_app.errors import ConfigError, EngineError
from serve_app.models import fetch as models
from serve_app.protocol.languages import AUTO, ENGLISH, language_code
from serve_app.settings.schema import SttSettings
from serve_app.stt.job import Heard
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.decode import GreedyDecoder
from serve_app.stt.whisper.guards import is_doubled, is_said
from serve_app.stt.whisper.rows import Transcript
from serve_app.stt.whisper.tokens import Tokens, is_multilingual

_SHORTEST_WINDOW_S = 6.0
_AFTER_SPEECH_S = 2.0
"""With a shorter window, or less after the speech, tiny.en repeats itself."""
_SILENCE_AFTER_S = 0.3
_PADDING = 0.0
"""The value of the log-mel spectrogram after the speech and that silence: a hiss, as faster-whisper
has it. Whisper never met a short window that ends in digital silence in its training, and with that
56 of 932 words are wrong in place of 37; with faster-whisper 41."""
_POSITIONS_PER_SECOND = 50
"""A position of the encoder is 20 ms, or two frames of the spectrogram."""
_FRAME_SAMPLES = 160
_SHORTEST_SPEECH_S = 0.1
_LOUDEST = 10.0
"""Speech is between -1 and 1."""
_LONGEST_HINT = 200
"""In tokens. Whisper writes at most 224."""

_log = logging.getLogger(__name__)


class WhisperEngine:
    """Speech to text. On one thread, any number of `transcribe` may take turns."""

    def __init__(self, settings: SttSettings) -> None:
        """Loads the model, which takes about a second. Raises ConfigError."""
        use_threads(settings.threads)
        device = resolve_device(settings.device)
        fetched = settings.fetched_model
        source = str(models.path(fetched)) if fetched else settings.model
        self._model = _load(source, device, settings.dtype)
        self._extractor = WhisperFeatureExtractor.from_pretrained(source)
        self._tokenizer = WhisperTokenizer.from_pretrained(source)
        if settings.task == "translate" and not is_multilingual(self._model):
            raise ConfigError(f"stt.task: {source!r} knows English only; set transcribe")
        self._tokens = Tokens.of(self._model, self._tokenizer, settings.task)
        self._language = settings.language
        self._is_translated = settings.task == "translate"
        self._decoder = GreedyDecoder(self._model, self._tokens)

    def warm_up(self) -> None:
        """Runs everything once, so that the first utterance is as fast as all others."""
        noise = np.random.default_rng(0).normal(0.0, 0.01, SAMPLE_RATE_HZ)
        self.transcribe_now([Utterance(noise.astype(np.float32))])

    @property
    def languages(self) -> list[str]:
        """The codes of the languages that the model knows."""
        return list(self._tokens.prompts)

    def check_language(self, language: str) -> str:
        """The code of `language`, which is that of the settings if it is empty; or `auto`. Raises
        EngineError for a language that the model does not know."""
        code = language_code(language or self._language)
        if code == AUTO:
            return AUTO if self._tokens.languages else ENGLISH
        if code not in self._tokens.prompts:
            known = ", ".join(sorted(self._tokens.prompts))
            raise EngineError("stt", f"language {language!r} is not known to the model: {known}")
        return code

    def transcribe_now(self, utterances: Sequence[Utterance]) -> list[str]:
        """The texts of `transcribe`, from beginning to end. Blocks."""
        steps = self.transcribe(utterances)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                heard: list[Heard] = done.value
                return [each.text for each in heard]

    @torch.inference_mode()
    def transcribe(self, utterances: Sequence[Utterance]) -> Generator[None, None, list[Heard]]:
        """What was said, for each utterance of a batch: nothing for less than 100 ms, for anything
        but speech, for samples that are no sound, and for an utterance that is abandoned
        meanwhile.

        Pauses at each `yield`, which comes after each layer of the encoder and each token. Raises
        EngineError.
        """
        longest_s = max((utterance.duration_s for utterance in utterances), default=0.0)
        if longest_s > WHISPER_WINDOW_S:
            raise EngineError(
                "stt", f"an utterance of {longest_s:.1f} s; at most {WHISPER_WINDOW_S} s"
            )
        wanted = [i for i, utterance in enumerate(utterances) if _is_worth_it(utterance)]
        heard = [Heard("")] * len(utterances)
        if wanted:
            transcripts = yield from self._transcripts([utterances[i] for i in wanted])
            for i, transcript in zip(wanted, transcripts, strict=True):
                heard[i] = self._heard(transcript)
        return heard

    def _transcripts(self, speech: list[Utterance]) -> Generator[None, None, list[Transcript]]:
        longest_s = max(utterance.duration_s for utterance in speech)
        window_s = min(max(_SHORTEST_WINDOW_S, longest_s + _AFTER_SPEECH_S), WHISPER_WINDOW_S)
        hint = self._hint(speech[0]) if len(speech) == 1 else []
        heard = yield from self._hear(speech, window_s)
        if any(utterance.language == AUTO for utterance in speech):
            speech = self._with_languages(heard, speech)
            yield
        rows = yield from self._decoder.timed(heard, speech, hint)
        wrong = [i for i, row in enumerate(rows) if self._is_wrong(row)]
        if wrong:
            retried = [speech[i] for i in wrong]
            heard = yield from self._hear(retried, WHISPER_WINDOW_S)
            again = yield from self._decoder.plain(heard, retried)
            for i, row in zip(wrong, again, strict=True):
                rows[i] = self._better(rows[i], row)
        return rows

    def _with_languages(self, heard: Tensor, speech: list[Utterance]) -> list[Utterance]:
        return [
            replace(utterance, language=found) if utterance.language == AUTO else utterance
            for utterance, found in zip(speech, self._decoder.languages(heard), strict=True)
        ]

    def _better(self, timed: Transcript, plain: Transcript) -> Transcript:
        """The second transcript, unless it says less than one that only lacks its end."""
        is_kept = timed.is_cut_short and self._words(timed) > self._words(plain)
        return timed if is_kept else plain

    def _words(self, row: Transcript) -> int:
        return len(words(self._text(row)))

    def _is_wrong(self, row: Transcript) -> bool:
        """Whether the transcript says more than was said, or less."""
        return row.capped or row.is_cut_short or is_doubled(self._written(row))

    def _hint(self, utterance: Utterance) -> list[int]:
        if not utterance.hint:
            return []
        ids: list[int] = self._tokenizer.encode(f" {utterance.hint}", add_special_tokens=False)
        return ids[:_LONGEST_HINT]

    def _heard(self, transcript: Transcript) -> Heard:
        text = self._text(transcript)
        if not text:
            return Heard("")
        language = ENGLISH if self._is_translated else transcript.language
        tokens = tuple(transcript.text_tokens)
        return Heard(text, language, tokens, transcript.mean_log_probability, transcript.no_speech)

    def _text(self, transcript: Transcript) -> str:
        text = self._written(transcript)
        is_real = is_said(text, transcript.no_speech, transcript.mean_log_probability)
        return text if is_real else ""

    def _written(self, transcript: Transcript) -> str:
        text: str = self._tokenizer.decode(transcript.text_tokens)
        return text.strip()

    def _hear(self, speech: list[Utterance], window_s: float) -> Generator[None, None, Tensor]:
        """The encoder's output, shape (batch, 50 * window_s, width)."""
        features = torch.stack([self._features(utterance, window_s) for utterance in speech])
        return (yield from self._encode(features.to(self._model.device, self._model.dtype)))

    def _features(self, utterance: Utterance, window_s: float) -> Tensor:
        """The log-mel spectrogram, shape (mels, 100 * window_s)."""
        frames = 2 * math.ceil(window_s * _POSITIONS_PER_SECOND)
        silence_s = _SILENCE_AFTER_S if window_s < WHISPER_WINDOW_S else WHISPER_WINDOW_S
        silence = np.zeros(round(silence_s * SAMPLE_RATE_HZ), dtype=np.float32)
        samples = np.concatenate((utterance.samples, silence))[: frames * _FRAME_SAMPLES]
        features: Tensor = self._extractor(
            samples, sampling_rate=SAMPLE_RATE_HZ, padding="do_not_pad", return_tensors="pt"
        ).input_features[0]
        return nn.functional.pad(features, (0, frames - features.shape[1]), value=_PADDING)

    def _encode(self, features: Tensor) -> Generator[None, None, Tensor]:
        """`WhisperEncoder.forward`, which accepts only 30 s, for any length."""
        encoder = self._model.model.encoder
        states = nn.functional.gelu(encoder.conv1(features))
        states = nn.functional.gelu(encoder.conv2(states)).transpose(1, 2)
        states = states + encoder.embed_positions.weight[: states.shape[1]]
        for layer in encoder.layers:
            yield
            states = layer(states, None)
        yield
        heard: Tensor = encoder.layer_norm(states)
        return heard


def _is_worth_it(utterance: Utterance) -> bool:
    is_long = utterance.duration_s >= _SHORTEST_SPEECH_S and not utterance.abandoned.is_set()
    # The ingress lets no other samples in. In int8, one that is not a number would fail the whole
    # batch, and a huge one change all its texts.
    return is_long and bool(np.all(np.abs(utterance.samples) <= _LOUDEST))


def _load(source: str, device: torch.device, dtype: str) -> WhisperForConditionalGeneration:
    """`auto` is int8 on a CPU and float16 on a GPU."""
    on_cpu = device.type == "cpu"
    if dtype == "auto":
        dtype = "int8" if on_cpu else "float16"
    if dtype == "int8" and not on_cpu:
        raise ConfigError("stt.dtype int8 is for the CPU; set float16")
    # A CPU has no fast float16 arithmetic: there, both names say only how weights are stored.
    compact = on_cpu and dtype in ("int8", "float16")
    try:
        model = WhisperForConditionalGeneration.from_pretrained(
            source, dtype=torch.float32 if compact else getattr(torch, dtype)
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"stt.model {source!r} cannot be loaded: {error}") from error
    model = model.eval().to(device)
    return _compact(model, dtype) if compact else model


def _compact(model: WhisperForConditionalGeneration, dtype: str) -> WhisperForConditionalGeneration:
    """On a CPU, int8 takes half the time of float32; float16 comes next, with float32's texts."""
    try:
        if dtype == "int8":
            return _quantised(model)
    except (AttributeError, RuntimeError) as error:
        _log.warning("stt has larger weights, since this machine has no int8 (%s)", error)
    if can_halve_weights():
        halve_weights(model)
    return model


def _quantised(model: WhisperForConditionalGeneration) -> WhisperForConditionalGeneration:
    """Dynamic quantisation, which torch 2.13 calls deprecated."""
    with warnings.catch_warnings():
        for deprecated in ("torch.ao.quantization", "torch.quantize_per_tensor"):
            warnings.filterwarnings("ignore", message=f"{deprecated}.* deprecated")
        quantise: Any = torch.ao.quantization.quantize_dynamic
        by_row = {nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
        quantised: WhisperForConditionalGeneration = quantise(model, by_row, dtype=torch.qint8)
    return quantised
