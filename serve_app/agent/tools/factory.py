"""From settings to tools. To add a kind, add it here. Imports only what is chosen."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from serve_app.agent.llm.tool_calls import ToolLlm, ToolSpec
from serve_app.agent.tools.base import ToolSource
from serve_app.agent.tools.python_tool import PythonTool, load_function
from serve_app.agent.tools.tool_user import ToolUser
from serve_app.agent.tools.toolbox import Toolbox
from serve_app.errors import ConfigError
from serve_app.settings.agent import AgentSettings, ToolSettings

_NO_TOOLS = (
    "args.agent.tools: the local chat model cannot use tools, because transformers runs it; choose"
    " a packaged one, a .gguf file or a provider (args.agent.llm, llm_fallbacks) or leave out tools"
    " and mcp_servers"
)


def check_tools(agent: AgentSettings, env: Mapping[str, str]) -> None:
    """Raises ConfigError if the tools of resolved settings cannot be used."""
    if agent.uses_tools and not agent.may_use_tools:
        raise ConfigError(_NO_TOOLS)
    _no_two(".tools", [tool.name for tool in agent.tools])
    _no_two(".mcp_servers", [server.name for server in agent.mcp_servers])
    for place, variable in _variables(agent):
        if variable and not env.get(variable):
            raise ConfigError(f"args.agent{place}: the variable {variable} is not set")
    for number, tool in enumerate(agent.tools):
        if tool.python:
            _function(number, tool)


def build_toolbox(agent: AgentSettings, env: Mapping[str, str]) -> Toolbox:
    """The tools of checked settings, ready for use. MCP servers need a running event loop."""
    sources = [_tool(number, tool, agent, env) for number, tool in enumerate(agent.tools)]
    if agent.mcp_servers:
        from serve_app.agent.tools.mcp_server import McpServer

        sources += [McpServer(server, env) for server in agent.mcp_servers]
    return Toolbox(sources, agent.tool_use)


def with_tools(llm: ToolLlm, tools: Toolbox, agent: AgentSettings) -> tuple[ToolUser, ToolUser]:
    """The model for replies, and the one for drafts, which must not use tools. A client may have
    some even if the server has none."""
    return (
        ToolUser(llm, tools, agent.tool_use),
        ToolUser(llm, tools, agent.tool_use, for_drafts=True),
    )


def _tool(
    number: int, tool: ToolSettings, agent: AgentSettings, env: Mapping[str, str]
) -> ToolSource:
    spec = ToolSpec(tool.name, tool.description, tool.parameters)
    if tool.python:
        return PythonTool(spec, _function(number, tool))
    from serve_app.agent.tools.http_tool import HttpTool

    key = env.get(tool.api_key_variable, "")
    return HttpTool(spec, tool.url, key, agent.tool_use.max_result_chars)


def _function(number: int, tool: ToolSettings) -> Callable[..., Any]:
    try:
        return load_function(tool.python)
    except ConfigError as error:
        raise ConfigError(f"args.agent.tools.{number}.python: {error}") from None


def _no_two(place: str, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ConfigError(f"args.agent{place}.{number}.name: {name!r} is used twice")


def _variables(agent: AgentSettings) -> Iterator[tuple[str, str]]:
    """The environment variables that the settings name, each with its place there."""
    for number, tool in enumerate(agent.tools):
        yield f".tools.{number}.api_key_variable", tool.api_key_variable
    for number, server in enumerate(agent.mcp_servers):
        yield f".mcp_servers.{number}.api_key_variable", server.api_key_variable
        for variable in server.environment:
            yield f".mcp_servers.{number}.environment", variable
