"""Whisper from a CTranslate2 directory to a Hugging Face one.

CTranslate2 writes model.bin (python/ctranslate2/specs/model_spec.py, `_serialize`) but has no
reader for Python. Little-endian throughout; a string is its length plus one as u16, its bytes
and a NUL:

    u32 binary version, string spec name, u32 spec revision
    u32 number of variables, then for each one
        string name, u8 rank, u32 dimension x rank, u8 dtype, u32 size in bytes, data
    u32 number of aliases, then for each one: string alias, string variable
"""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor

from serve_app.errors import ConfigError

Tensors = dict[str, NDArray[Any]]
_BINARY_VERSION = 6
_ENGLISH_ONLY_VOCABULARY = 51_864
_DTYPES: dict[int, str] = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def convert(source: Path, target: Path) -> None:
    """Fills `target` (an existing directory) from model.bin, config.json and tokenizer.json.

    Weights keep the source's dtype. Raises ConfigError when model.bin is
    not a Whisper of the known binary version.
    """
    variables = _read(source / "model.bin")
    hints = json.loads((source / "config.json").read_text())
    special = json.loads((source / "tokenizer.json").read_text())["added_tokens"]
    tokens = {token["content"]: token["id"] for token in special}
    config = _config(variables, tokens)
    save_file(_rename(variables), target / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(target)
    _generation_config(config, tokens, hints).save_pretrained(target)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(target)
    shutil.copy(source / "tokenizer.json", target)
    (target / "tokenizer_config.json").write_text('{"tokenizer_class": "WhisperTokenizer"}')


class _Reader:
    """Takes values off the front of a buffer."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def numbers(self, layout: str) -> tuple[int, ...]:
        values: tuple[int, ...] = struct.unpack_from("<" + layout, self._data, self._at)
        self._at += struct.calcsize("<" + layout)
        return values

    def raw(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def text(self) -> str:
        (size,) = self.numbers("H")
        return self.raw(size)[:-1].decode()


def _read(path: Path) -> Tensors:
    reader = _Reader(path.read_bytes())
    (version,) = reader.numbers("I")
    spec = reader.text()
    if (version, spec) != (_BINARY_VERSION, "WhisperSpec"):
        raise ConfigError(
            f"{path.name} is a {spec} of version {version},"
            f" not a WhisperSpec of version {_BINARY_VERSION}"
        )
    _revision, count = reader.numbers("II")
    return dict(_variable(reader) for _ in range(count))


def _variable(reader: _Reader) -> tuple[str, NDArray[Any]]:
    name = reader.text()
    (rank,) = reader.numbers("B")
    shape = reader.numbers(f"{rank}I")
    dtype, size = reader.numbers("BI")
    return name, np.frombuffer(reader.raw(size), _DTYPES[dtype]).reshape(shape)


def _rename(variables: Tensors) -> Tensors:
    """The names and shapes of `WhisperForConditionalGeneration`, whose output head is tied."""
    tensors = {"model.decoder.embed_tokens.weight": variables["decoder/embeddings/weight"]}
    for convolution in ("conv1", "conv2"):
        _put(variables, f"encoder/{convolution}", tensors, f"model.encoder.{convolution}")
    for side in ("encoder", "decoder"):
        positions = variables[f"{side}/position_encodings/encodings"]
        tensors[f"model.{side}.embed_positions.weight"] = positions
        _put(variables, f"{side}/layer_norm", tensors, f"model.{side}.layer_norm")
        for layer in range(_layers(variables, side)):
            _layer(variables, f"{side}/layer_{layer}", tensors, f"model.{side}.layers.{layer}")
    return tensors


def _layer(variables: Tensors, theirs: str, tensors: Tensors, ours: str) -> None:
    _attention(variables, f"{theirs}/self_attention", tensors, f"{ours}.self_attn", ["qkv"])
    if f"{theirs}/attention/linear_0/weight" in variables:
        _attention(variables, f"{theirs}/attention", tensors, f"{ours}.encoder_attn", ["q", "kv"])
    _put(variables, f"{theirs}/ffn/layer_norm", tensors, f"{ours}.final_layer_norm")
    _put(variables, f"{theirs}/ffn/linear_0", tensors, f"{ours}.fc1")
    _put(variables, f"{theirs}/ffn/linear_1", tensors, f"{ours}.fc2")


def _attention(
    variables: Tensors, theirs: str, tensors: Tensors, ours: str, stacks: list[str]
) -> None:
    """`stacks`: the projections that are stacked in each of CTranslate2's matrices."""
    _put(variables, f"{theirs}/layer_norm", tensors, f"{ours}_layer_norm")
    for i, stack in enumerate(stacks):
        for kind in ("weight", "bias"):
            pieces = np.split(variables[f"{theirs}/linear_{i}/{kind}"], len(stack))
            for part, piece in zip(stack, pieces, strict=True):
                # Whisper's keys have no bias; CTranslate2 stores zeros in its place.
                if (part, kind) != ("k", "bias"):
                    tensors[f"{ours}.{part}_proj.{kind}"] = piece
    _put(variables, f"{theirs}/linear_{len(stacks)}", tensors, f"{ours}.out_proj")


def _put(variables: Tensors, theirs: str, tensors: Tensors, ours: str) -> None:
    names = ("gamma", "beta") if theirs.endswith("layer_norm") else ("weight", "bias")
    tensors[f"{ours}.weight"] = variables[f"{theirs}/{names[0]}"]
    tensors[f"{ours}.bias"] = variables[f"{theirs}/{names[1]}"]


def _layers(variables: Tensors, side: str) -> int:
    return sum(f"{side}/layer_{i}/ffn/linear_0/weight" in variables for i in range(len(variables)))


def _config(variables: Tensors, tokens: dict[str, int]) -> WhisperConfig:
    vocabulary, width = variables["decoder/embeddings/weight"].shape
    end_of_text = tokens["<|endoftext|>"]
    return WhisperConfig(
        architectures=["WhisperForConditionalGeneration"],
        vocab_size=vocabulary,
        num_mel_bins=variables["encoder/conv1/weight"].shape[1],
        d_model=width,
        encoder_layers=_layers(variables, "encoder"),
        decoder_layers=_layers(variables, "decoder"),
        encoder_attention_heads=int(variables["encoder/num_heads"]),
        decoder_attention_heads=int(variables["decoder/num_heads"]),
        encoder_ffn_dim=variables["encoder/layer_0/ffn/linear_0/weight"].shape[0],
        decoder_ffn_dim=variables["decoder/layer_0/ffn/linear_0/weight"].shape[0],
        max_source_positions=variables["encoder/position_encodings/encodings"].shape[0],
        max_target_positions=variables["decoder/position_encodings/encodings"].shape[0],
        decoder_start_token_id=tokens["<|startoftranscript|>"],
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
        pad_token_id=end_of_text,
    )


def _generation_config(
    config: WhisperConfig, tokens: dict[str, int], hints: dict[str, Any]
) -> GenerationConfig:
    return GenerationConfig(
        decoder_start_token_id=config.decoder_start_token_id,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        no_timestamps_token_id=tokens["<|notimestamps|>"],
        suppress_tokens=hints["suppress_ids"],
        begin_suppress_tokens=hints["suppress_ids_begin"],
        alignment_heads=hints["alignment_heads"],
        max_length=config.max_target_positions,
        **_languages(config, tokens, hints),
    )


def _languages(
    config: WhisperConfig, tokens: dict[str, int], hints: dict[str, Any]
) -> dict[str, Any]:
    is_multilingual = config.vocab_size > _ENGLISH_ONLY_VOCABULARY
    if not is_multilingual:
        return {"is_multilingual": False}
    ids = set(hints["lang_ids"])
    return {
        "is_multilingual": True,
        "lang_to_id": {name: number for name, number in tokens.items() if number in ids},
        "task_to_id": {task: tokens[f"<|{task}|>"] for task in ("transcribe", "translate")},
    }
