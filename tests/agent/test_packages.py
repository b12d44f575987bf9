"""Which packages an agent replica loads: those of the engines and tools that it was given."""

import json
import subprocess
import sys
from typing import Any

import pytest

from serve_app.settings.agent import JOE

OPENAI = {"provider": "openai", "model": "m"}
OPENAI_VOICE = {**OPENAI, "voice": "v"}
LOCAL = {"provider": "local"}
ELEVENLABS = {"provider": "elevenlabs"}
HTTP = {**ELEVENLABS, "transport": "http"}
MCP = [{"name": "tools", "command": ["true"]}]

BIG = {
    "torch", "transformers", "xllamacpp", "onnxruntime", "hibari", "gruut", "openai", "elevenlabs",
    "mcp", "httpx",
}  # fmt: skip
"""Each belongs to an engine or to a kind of tool. What every agent loads is left out: pydantic,
numpy, soxr, jsonschema, and what Ray Serve itself needs."""

BUILD = """
import asyncio, json, sys
from deployments.agent import Agent
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import AppConfig

async def build(agent):
    config = resolve(AppConfig.model_validate({"agent": agent}), ENV, 0)
    await Agent(config.agent).__del__()

ENV = {"OPENAI_API_KEY": "sk-test", "ELEVEN_LABS_API_KEY": "el-test"}
asyncio.run(build(json.loads(sys.argv[1])))
print(*{name.partition(".")[0] for name in sys.modules})
"""


CASES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "websockets": ({"llm": OPENAI, "tts": ELEVENLABS}, {"openai", "elevenlabs"}),
    "http": ({"llm": OPENAI, "tts": HTTP}, {"openai", "elevenlabs", "httpx"}),
    "openai": ({"llm": OPENAI, "tts": OPENAI_VOICE}, {"openai"}),
    "mcp": ({"llm": OPENAI, "tts": OPENAI_VOICE, "mcp_servers": MCP}, {"openai", "mcp"}),
    "voice": ({"llm": OPENAI, "tts": LOCAL}, {"openai", "onnxruntime", "hibari"}),
    "joe": (
        {"llm": OPENAI, "tts": {**LOCAL, "voice": JOE}},
        {"openai", "onnxruntime", "gruut"},
    ),
    "local": (
        {"llm": LOCAL, "tts": LOCAL},
        {"xllamacpp", "onnxruntime", "hibari"},
    ),
    "fallback": (
        {"llm": OPENAI, "tts": ELEVENLABS, "tts_fallbacks": [LOCAL]},
        {"openai", "elevenlabs", "onnxruntime", "hibari"},
    ),
}


@pytest.mark.parametrize(("agent", "packages"), CASES.values(), ids=CASES)
def test_an_agent_loads_what_it_was_given(agent: dict[str, Any], packages: set[str]) -> None:
    command = [sys.executable, "-c", BUILD, json.dumps(agent)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr
    assert BIG & set(built.stdout.split()) == packages
