"""Tools in the settings: what is wrong is said at start, in one line."""

from typing import Any

import pytest

from serve_app.agent.factory import build_llm
from serve_app.agent.tools.factory import build_toolbox, check_tools, with_tools
from serve_app.agent.tools.tool_user import ToolUser
from serve_app.errors import ConfigError
from serve_app.settings.agent import AgentSettings, LlmSettings
from serve_app.settings.environment import load
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import AppConfig

ENV = {"OPENAI_API_KEY": "k"}
WEATHER = {
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "python": "tests.agent.tools.local:weather",
}
SERVER = {"name": "files", "command": ["files-server", "--read-only"]}


def plan(**agent: Any) -> AppConfig:
    """As `serve_app.app.build` and `echo-serve run` do it."""
    config = resolve(load({"agent": agent}, ENV), ENV, gpus=0)
    check_tools(config.agent, ENV)
    return config


def changed(**changes: Any) -> list[dict[str, Any]]:
    return [{**WEATHER, **changes}]


def test_tools_that_can_be_used() -> None:
    endpoint = {**WEATHER, "name": "air", "python": "", "url": "http://localhost:1/air"}
    config = plan(tools=[WEATHER, endpoint], mcp_servers=[SERVER])
    assert [tool.name for tool in config.agent.tools] == ["weather", "air"]
    assert config.agent.mcp_servers[0].command == ("files-server", "--read-only")


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        (
            {"tools": changed(python="tests.agent.tools.nowhere:weather")},
            "args.agent.tools.0.python: 'tests.agent.tools.nowhere:weather' cannot be imported:"
            " ModuleNotFoundError: No module named 'tests.agent.tools.nowhere'",
        ),
        (
            {"tools": changed(python="tests.agent.tools.local:whether")},
            "args.agent.tools.0.python: 'tests.agent.tools.local:whether' cannot be imported:"
            " AttributeError: module 'tests.agent.tools.local' has no attribute 'whether'",
        ),
        (
            {"tools": changed(python="tests.agent.tools.local:NOT_A_FUNCTION")},
            "args.agent.tools.0.python: 'tests.agent.tools.local:NOT_A_FUNCTION' is not a function",
        ),
        (
            {"tools": changed(parameters={"type": "object", "properties": {"city": 3}})},
            "args.agent.tools.0.parameters: Value error, no JSON schema:"
            " $.properties.city: 3 is not of type 'object', 'boolean'",
        ),
        (
            {"tools": changed(parameters={"type": "string"})},
            "args.agent.tools.0.parameters: Value error, the arguments of a tool are an object:"
            " set `type: object`",
        ),
        (
            {"tools": changed(python="")},
            "args.agent.tools.0: Value error, set either python or url",
        ),
        (
            {"tools": changed(url="http://localhost:1")},
            "args.agent.tools.0: Value error, set either python or url",
        ),
        ({"tools": changed(url="localhost:1")}, "args.agent.tools.0.url: String should match"),
        ({"tools": changed(name="the weather")}, "args.agent.tools.0.name: String should match"),
        ({"tools": changed(timeout=3)}, "args.agent.tools.0.timeout is not a setting"),
        (
            {"tools": [WEATHER, WEATHER]},
            "args.agent.tools.1.name: 'weather' is used twice",
        ),
        (
            {"tools": changed(python="", url="http://localhost:1", api_key_variable="NO_KEY")},
            "args.agent.tools.0.api_key_variable: the variable NO_KEY is not set",
        ),
        (
            {"mcp_servers": [{**SERVER, "environment": ["NO_KEY"]}]},
            "args.agent.mcp_servers.0.environment: the variable NO_KEY is not set",
        ),
        (
            {"mcp_servers": [{"name": "files"}]},
            "args.agent.mcp_servers.0: Value error, set either command or url",
        ),
        (
            {"tools": [WEATHER], "llm": {"provider": "local", "model": "org/model"}},
            "args.agent.tools: the local chat model cannot use tools, because transformers runs it;"
            " choose a packaged one, a .gguf file or a provider",
        ),
    ],
)
def test_what_is_wrong_is_said_at_start(agent: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(**agent)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_packaged_chat_model_may_use_tools() -> None:
    plan(tools=[WEATHER], llm={"provider": "local"})


def test_a_function_that_cannot_be_imported_says_why(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_a_module.py").write_text("import nothing_like_this\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="No module named 'nothing_like_this'"):
        plan(tools=changed(python="half_a_module:weather"))


async def test_drafts_and_replies_have_models_of_their_own() -> None:
    agent = AgentSettings.model_validate({"tools": [WEATHER]})
    llm = build_llm(LlmSettings(provider="generic", model="m", api_url="http://localhost:1/v1"), {})
    tools = build_toolbox(agent, {})
    writer, drafter = with_tools(llm, tools, agent)
    assert isinstance(writer, ToolUser) and isinstance(drafter, ToolUser)
    assert writer is not drafter
    of_clients = with_tools(llm, build_toolbox(AgentSettings(), {}), AgentSettings())
    assert all(isinstance(one, ToolUser) for one in of_clients), "a client may have tools"
    await tools.aclose()
    await llm.aclose()
