"""What is known about models that think."""

import pytest

from serve_app.agent.llm.reasoning import least_effort, thinks


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("gpt-4.1-mini", ""),
        ("gpt-4o", ""),
        ("gpt-5", "minimal"),
        ("gpt-5-nano-2025-08-07", "minimal"),
        ("gpt-5-chat-latest", ""),
        ("gpt-5-pro", ""),
        ("gpt-5.1", "none"),
        ("gpt-5.1-chat-latest", ""),
        ("gpt-5.4-mini", "none"),
        ("gpt-5.6-luna", "none"),
        ("o1", "low"),
        ("o1-mini", ""),
        ("o3-mini", "low"),
        ("openai/o4-mini", "low"),
        ("openai/gpt-oss-120b", "low"),
        ("gpt-oss:20b", "low"),
        ("llama3.2", ""),
        ("qwen3", ""),
    ],
)
def test_the_least_effort_of_known_models(model: str, effort: str) -> None:
    assert least_effort(model) == effort


def test_which_models_think_unseen() -> None:
    assert thinks("o3", "low") and thinks("gpt-5", "") and thinks("qwen3", "high")
    assert not thinks("gpt-5.1", "none") and not thinks("gpt-5", "minimal")
    assert not thinks("gpt-4.1-mini", "") and not thinks("gpt-5-chat-latest", "")
