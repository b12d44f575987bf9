"""Whisper's decoder, step by step, without the code that transformers has around it.

On a CPU, half of a step's 10 ms goes into transformers' general machinery of modules and caches
(tiny.en, int8, one thread). The layers are those of the checkpoint, quantised or not; the result is
that of `WhisperDecoder.forward`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, scaled_dot_product_attention
from transformers import WhisperForConditionalGeneration


class DecoderSteps:
    """Decodes one batch. Each batch needs a new one."""

    def __init__(self, model: WhisperForConditionalGeneration, heard: Tensor, longest: int) -> None:
        """`heard`: the encoder's output, shape (batch, positions, width). `longest`: the most
        tokens that will be written, including the prompt."""
        decoder: Any = model.model.decoder
        self._decoder = decoder
        self._head = model.proj_out
        self._heads: int = decoder.config.decoder_attention_heads
        self._length = 0
        layers = decoder.layers
        self._crossed = [self._keys_and_values(layer.encoder_attn, heard) for layer in layers]
        shape = (len(heard), self._heads, longest, heard.shape[-1] // self._heads)
        self._cache = [(heard.new_empty(shape), heard.new_empty(shape)) for _ in layers]

    def step(self, ids: Tensor) -> Tensor:
        """The logits after each of the next tokens, float32, shape (batch, n, vocabulary). `ids`:
        shape (batch, n)."""
        start, self._length = self._length, self._length + ids.shape[1]
        positions = self._decoder.embed_positions.weight[start : self._length]
        states = self._decoder.embed_tokens(ids) + positions
        for layer, crossed, cache in zip(
            self._decoder.layers, self._crossed, self._cache, strict=True
        ):
            states = states + self._attend_to_text(layer, states, cache, start)
            states = states + self._attend_to_speech(layer, states, crossed)
            hidden = gelu(layer.fc1(layer.final_layer_norm(states)))
            states = states + layer.fc2(hidden)
        logits: Tensor = self._head(self._decoder.layer_norm(states))
        return logits.float()

    def take_back(self, count: int) -> None:
        """Forgets the last `count` tokens."""
        self._length -= count

    def _attend_to_text(
        self, layer: Any, states: Tensor, cache: tuple[Tensor, Tensor], start: int
    ) -> Tensor:
        attention = layer.self_attn
        normed = layer.self_attn_layer_norm(states)
        for kept, new in zip(cache, self._keys_and_values(attention, normed), strict=True):
            kept[:, :, start : self._length] = new
        keys, values = (kept[:, :, : self._length] for kept in cache)
        if (count := self._length - start) == 1:
            return self._attend(attention, normed, keys, values)
        seen = states.new_ones(count, self._length, dtype=torch.bool).tril(start)
        return self._attend(attention, normed, keys, values, seen)

    def _attend_to_speech(
        self, layer: Any, states: Tensor, crossed: tuple[Tensor, Tensor]
    ) -> Tensor:
        normed = layer.encoder_attn_layer_norm(states)
        return self._attend(layer.encoder_attn, normed, *crossed)

    def _attend(
        self,
        attention: Any,
        states: Tensor,
        keys: Tensor,
        values: Tensor,
        seen: Tensor | None = None,
    ) -> Tensor:
        """`seen`: which keys each state may attend to, shape (n, keys); None is all."""
        queries = self._split(attention.q_proj(states))
        attended = scaled_dot_product_attention(queries, keys, values, attn_mask=seen)
        joined: Tensor = attention.out_proj(attended.transpose(1, 2).flatten(2))
        return joined

    def _keys_and_values(self, attention: Any, states: Tensor) -> tuple[Tensor, Tensor]:
        return self._split(attention.k_proj(states)), self._split(attention.v_proj(states))

    def _split(self, states: Tensor) -> Tensor:
        """(batch, n, width) to (batch, heads, n, width of a head)."""
        batch, count, width = states.shape
        return states.view(batch, count, self._heads, width // self._heads).transpose(1, 2)
