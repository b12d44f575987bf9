"""A llama model from a GGUF file to a Hugging Face directory.

The format: github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader, ReaderTensor, dequantize
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast

from serve_app.errors import ConfigError

_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_CONTROL_TOKEN = 3
"""The value of `tokenizer.ggml.token_type` for control tokens."""


def convert(source: Path, target: Path) -> None:
    """Fills `target` (an existing directory) from the one .gguf file in `source`.

    Weights are stored as bfloat16. Raises ConfigError when the file is not a llama with SmolLM's
    byte-level tokenizer.
    """
    (path,) = source.glob("*.gguf")
    reader = GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    kinds = fields["general.architecture"], fields["tokenizer.ggml.pre"]
    if kinds != ("llama", "smollm"):
        raise ConfigError(f"{path.name} is a {kinds[0]} with {kinds[1]} tokens, not a SmolLM")
    tensors = {_name(tensor.name): _weights(tensor, fields) for tensor in reader.tensors}
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    _config(fields, tied="lm_head.weight" not in tensors).save_pretrained(target)
    _tokenizer(fields).save_pretrained(target)


def _name(theirs: str) -> str:
    """`blk.3.attn_q.weight` is `model.layers.3.self_attn.q_proj.weight`."""
    *block, name, kind = theirs.split(".")
    prefix = f"model.layers.{block[1]}." if block else ""
    return f"{prefix}{_NAMES[name]}.{kind}"


def _weights(tensor: ReaderTensor, fields: dict[str, Any]) -> torch.Tensor:
    values = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
    if ".attn_q." in tensor.name:
        values = _unpermute(values, fields["llama.attention.head_count"])
    if ".attn_k." in tensor.name:
        values = _unpermute(values, fields["llama.attention.head_count_kv"])
    return values.to(torch.bfloat16)


def _unpermute(values: torch.Tensor, heads: int) -> torch.Tensor:
    """Undoes `LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py, which interleaves the two
    halves of each head for its rotary embedding."""
    rows, columns = values.shape
    pairs = values.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns).contiguous()


def _config(fields: dict[str, Any], tied: bool) -> LlamaConfig:
    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=len(fields["tokenizer.ggml.tokens"]),
        hidden_size=fields["llama.embedding_length"],
        intermediate_size=fields["llama.feed_forward_length"],
        num_hidden_layers=fields["llama.block_count"],
        num_attention_heads=fields["llama.attention.head_count"],
        num_key_value_heads=fields["llama.attention.head_count_kv"],
        max_position_embeddings=fields["llama.context_length"],
        rms_norm_eps=fields["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        bos_token_id=fields["tokenizer.ggml.bos_token_id"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
        pad_token_id=fields["tokenizer.ggml.padding_token_id"],
        tie_word_embeddings=tied,
        dtype="bfloat16",
    )


def _tokenizer(fields: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits: what llama.cpp calls `smollm`."""
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    types = zip(tokens, fields["tokenizer.ggml.token_type"], strict=True)
    control = [token for token, kind in types if kind == _CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in control])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[fields["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[fields["tokenizer.ggml.eos_token_id"]],
        unk_token=tokens[fields["tokenizer.ggml.unknown_token_id"]],
        pad_token=tokens[fields["tokenizer.ggml.padding_token_id"]],
        chat_template=fields["tokenizer.chat_template"],
        clean_up_tokenization_spaces=False,
        model_max_length=fields["llama.context_length"],
    )
