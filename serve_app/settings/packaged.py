"""The chat models that need no account: their names in models.json, and how they are shown."""

from collections.abc import Mapping
from typing import Final

LLMS: Final[Mapping[str, str]] = {
    "qwen2.5-coder-1.5b-instruct": "Qwen2.5-Coder-1.5B-Instruct",
    "qwen2.5-coder-0.5b-instruct": "Qwen2.5-Coder-0.5B-Instruct",
    "smollm2-135m-instruct": "SmolLM2-135M-Instruct",
}
DEFAULT_LLM: Final = "qwen2.5-coder-0.5b-instruct"
"""What `packaged` means for `llm.model`; why, is in docs/models.md."""


def is_gguf(model: str) -> bool:
    """Whether llama.cpp runs this chat model, or transformers does."""
    return model in LLMS or model.endswith(".gguf")
