"""The benchmarks' providers tell what the LLM was asked."""

import json
import time
import urllib.request

from bench.providers import Asked, call_prompt, providing


def ask(url: str, prompt: str, *said: str) -> str:
    """What the LLM answers."""
    messages = [{"role": "system", "content": prompt}]
    messages += [{"role": "user", "content": text} for text in said]
    body = json.dumps({"model": "any", "stream": True, "messages": messages}).encode()
    request = urllib.request.Request(
        f"{url}/chat/completions", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read(), "utf-8")


def test_each_request_is_told_with_its_time_and_the_users_messages() -> None:
    with providing() as provided:
        assert provided.asked() == []
        before_s = time.monotonic()
        assert "help" in ask(provided.llm_url, call_prompt("8/1"))
        ask(provided.llm_url, call_prompt("8/2"), "go forward", "ten metres")
        greeting, turn = provided.asked()
        assert greeting.prompt == call_prompt("8/1") != call_prompt("8/2")
        assert turn == Asked(call_prompt("8/2"), turn.at_s, ("go forward", "ten metres"))
        assert before_s < greeting.at_s < turn.at_s < time.monotonic()
