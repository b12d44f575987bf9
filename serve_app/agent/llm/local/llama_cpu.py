"""The forward pass of a llama on a CPU, for one conversation at a time.

With a small model, transformers spends about half of each step outside of the matrix products: 20
of 50 ms for SmolLM2-135M on one AVX2 core. This is the same arithmetic in fewer, larger
operations. For what a llama computes see github.com/huggingface/transformers, modeling_llama.py.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache

from serve_app.devices import Linear, compact_linear


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: Linear
    """Queries, keys and values in one product. Includes the weights of the norm before it."""
    output: Linear
    gate_up: Linear
    down: Linear


def is_plain_llama(model: Any) -> bool:
    """Whether LlamaCpu computes what `model` does."""
    config = model.config
    return bool(
        config.model_type == "llama"
        and config.hidden_act == "silu"
        and not (config.attention_bias or config.mlp_bias)
        and config.rope_parameters.get("rope_type") == "default"
        and model.device.type == "cpu"
    )


class LlamaCpu:
    """Uses the weights of a transformers model in float32."""

    def __init__(self, model: Any) -> None:
        config = model.config
        self._heads: int = config.num_attention_heads
        self._kv_heads: int = config.num_key_value_heads
        self._head_size: int = config.head_dim
        self._eps: float = config.rms_norm_eps
        self._embedding: Tensor = model.model.embed_tokens.weight
        self._layers = [_layer(layer) for layer in model.model.layers]
        self._head = compact_linear(model.lm_head.weight * model.model.norm.weight)
        theta: float = config.rope_parameters["rope_theta"]
        exponents = torch.arange(0, self._head_size, 2, dtype=torch.float32) / self._head_size
        self._frequencies = theta**-exponents

    def __call__(self, tokens: list[int], cache: DynamicCache) -> Tensor:
        """Logits after the last of `tokens`, shape (vocabulary,). `cache` grows by all of them."""
        known = cache.get_seq_length()
        states = functional.embedding(torch.tensor(tokens), self._embedding)
        angles = torch.outer(torch.arange(known, known + len(tokens)).float(), self._frequencies)
        rotation = torch.cat((angles, angles), dim=-1)
        cos, sin = rotation.cos(), rotation.sin()
        for index, layer in enumerate(self._layers):
            normed = self._normalise(states)
            states = states + self._attend(layer, index, normed, cos, sin, cache)
            gate, up = layer.gate_up(self._normalise(states)).chunk(2, dim=-1)
            states = states + layer.down(functional.silu(gate) * up)
        logits: Tensor = self._head(self._normalise(states[-1:]))
        return logits[0]

    def _attend(
        self, layer: _Layer, index: int, normed: Tensor, cos: Tensor, sin: Tensor,
        cache: DynamicCache,
    ) -> Tensor:  # fmt: skip
        count = len(normed)
        heads = layer.qkv(normed).view(count, -1, self._head_size).transpose(0, 1)
        turned = heads[: self._heads + self._kv_heads]
        turned = turned * cos + _rotate_half(turned) * sin
        queries, keys = turned[: self._heads], turned[self._heads :]
        values = heads[self._heads + self._kv_heads :]
        keys, values = cache.update(keys[None], values[None], index)
        return layer.output(self._mix(queries, keys, values, count))

    def _mix(self, queries: Tensor, keys: Tensor, values: Tensor, count: int) -> Tensor:
        """Attention. The query heads that share a key head are the rows of one product."""
        rows = queries.reshape(1, self._kv_heads, -1, self._head_size)
        mask = None
        if count > 1:
            length = keys.shape[-2]
            causal = torch.ones(count, length, dtype=torch.bool).tril(length - count)
            mask = causal.repeat(self._heads // self._kv_heads, 1)
        mixed = functional.scaled_dot_product_attention(rows, keys, values, attn_mask=mask)
        return mixed.view(self._heads, count, self._head_size).transpose(0, 1).reshape(count, -1)

    def _normalise(self, states: Tensor) -> Tensor:
        """RMSNorm without its weights. `functional.rms_norm` takes three times as long."""
        return states * torch.rsqrt(states.square().mean(-1, keepdim=True) + self._eps)


def _layer(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    return _Layer(
        qkv=compact_linear(
            torch.cat([projection.weight for projection in projections])
            * layer.input_layernorm.weight
        ),
        output=compact_linear(attention.o_proj.weight),
        gate_up=compact_linear(
            torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
            * layer.post_attention_layernorm.weight
        ),
        down=compact_linear(mlp.down_proj.weight),
    )


def _rotate_half(states: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)
