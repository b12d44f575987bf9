"""The lean forward pass against transformers' own, on the packaged model."""

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from serve_app.agent.llm.local.llama_cpu import LlamaCpu, is_plain_llama
from serve_app.models import fetch as models

pytestmark = pytest.mark.models

PROMPT = list(range(100, 140))


@torch.inference_mode()
def test_it_computes_what_transformers_does() -> None:
    """A prompt in two parts, then single tokens: all three ways to use the cache."""
    source = models.path("smollm2-135m-instruct")
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    assert is_plain_llama(model)
    lean, cache = LlamaCpu(model), DynamicCache()
    tokens: list[int] = []
    for part in (PROMPT[:25], PROMPT[25:], [7], [2000]):
        tokens += part
        logits = lean(part, cache)
        expected = model(input_ids=torch.tensor([tokens])).logits[0, -1]
        # float16 weights: three decimal digits.
        assert torch.allclose(logits, expected, atol=0.15), (logits - expected).abs().max()
        assert int(logits.argmax()) == int(expected.argmax())
        assert cache.get_seq_length() == len(tokens)
