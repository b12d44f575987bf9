"""A chat model that uses tools, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from serve_app.agent.llm.openai_chat import OpenAiChat
from serve_app.agent.tools.python_tool import PythonTool
from serve_app.agent.tools.tool_user import ToolUser
from serve_app.agent.tools.toolbox import Toolbox
from serve_app.conversation.history import ChatMessage
from serve_app.errors import DraftDeclined, EngineError
from serve_app.fakes.openai import FakeOpenAi, Script
from serve_app.settings.agent import LlmSettings, ToolUseSettings
from tests.agent.tools import local
from tests.agent.tools.local import CITY, DEADLINE_S, NOTHING, no_task_is_left, spec

CHAT = [ChatMessage("system", "Be brief."), ChatMessage("user", "How is the weather in Rome?")]


def asks(*calls: tuple[str, str], text: str = "") -> list[Mapping[str, Any]]:
    """The deltas of a model that asks for several tools at once."""
    deltas: list[Mapping[str, Any]] = [{"content": text}] if text else []
    for index, (name, arguments) in enumerate(calls):
        head, tail = arguments[:5], arguments[5:]
        call = {"index": index, "id": f"id{index}", "type": "function"}
        first = {**call, "function": {"name": name, "arguments": head}}
        rest = {"index": index, "function": {"arguments": tail}}
        deltas += [{"tool_calls": [first]}, {"tool_calls": [rest]}]
    return deltas


WEATHER = ("weather", '{"city": "Rome"}')
ANSWER = Script(["It is ", "clear."], tool_rounds=[asks(WEATHER)])


class Tools:
    """Tools, and what became of their calls."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def weather(self, city: str) -> str:
        self.called.append(city)
        return await local.weather_soon(city)

    async def slow(self) -> str:
        self.called.append("slow")
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "at last"

    def box(self, settings: ToolUseSettings) -> Toolbox:
        sources = [
            PythonTool(spec("weather"), self.weather),
            PythonTool(spec("slow", NOTHING), self.slow),
            PythonTool(spec("broken"), local.broken),
        ]
        return Toolbox(sources, settings)


@asynccontextmanager
async def model(
    script: Script, for_drafts: bool = False, **use: object
) -> AsyncIterator[tuple[ToolUser, FakeOpenAi, Tools]]:
    tools, settings = Tools(), ToolUseSettings.model_validate(use)
    box = tools.box(settings)
    async with FakeOpenAi(script) as server:
        llm = OpenAiChat(LlmSettings(provider="generic", model="m", api_url=server.url), "")
        user = ToolUser(llm, box, settings, for_drafts)
        yield user, server, tools
        await user.aclose()
        await box.aclose()
    assert box.running == 0
    assert await no_task_is_left()


async def said(user: ToolUser) -> str:
    async with asyncio.timeout(DEADLINE_S):
        return "".join([piece async for piece in user.stream(CHAT)])


def results(request: Mapping[str, Any]) -> Sequence[str]:
    return [m["content"] for m in request["messages"] if m["role"] == "tool"]


async def test_the_result_of_a_tool_is_told_to_the_model() -> None:
    async with model(ANSWER) as (user, server, tools):
        assert await said(user) == "It is clear."
    assert tools.called == ["Rome"]
    first, second = [request.body for request in server.requests]
    assert [tool["function"]["name"] for tool in first["tools"]] == ["weather", "slow", "broken"]
    assert first["tools"][0] == {
        "type": "function",
        "function": {"name": "weather", "description": "What weather does.", "parameters": CITY},
    }
    assert "tool_choice" not in first
    assert second["messages"][2:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "id0",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "id0", "content": "Clear in Rome."},
    ]
    assert second["tools"] == first["tools"]


async def test_a_reply_without_tools_is_one_request() -> None:
    async with model(Script()) as (user, server, tools):
        assert await said(user) == "Hello there."
    assert len(server.requests) == 1
    assert not tools.called


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("weather", '{"town": "Rome"}', "Error: wrong arguments: $: "),
        ("weather", '{"city": ', "Error: the arguments are not valid JSON"),
        ("whether", '{"city": "Rome"}', "Error: there is no such tool"),
        ("broken", '{"city": "Rome"}', "Error: ValueError: no such city: Rome"),
    ],
)
async def test_what_goes_wrong_is_told_to_the_model(name: str, arguments: str, result: str) -> None:
    script = replace(ANSWER, tool_rounds=[asks((name, arguments))])
    async with model(script) as (user, server, tools):
        assert await said(user) == "It is clear."
    second = server.requests[1].body
    (told,) = results(second)
    assert told.startswith(result)
    assert not tools.called
    (call,) = second["messages"][2]["tool_calls"]
    json.loads(call["function"]["arguments"])  # servers refuse what is no JSON


async def test_several_calls_at_once_and_several_rounds() -> None:
    bonn = ("weather", '{"city": "Bonn"}')
    script = replace(ANSWER, tool_rounds=[asks(WEATHER, bonn), asks(WEATHER)])
    async with model(script) as (user, server, _):
        assert await said(user) == "It is clear."
    assert [results(request.body) for request in server.requests] == [
        [],
        ["Clear in Rome.", "Clear in Bonn."],
        ["Clear in Rome.", "Clear in Bonn.", "Clear in Rome."],
    ]


async def test_a_server_that_says_stop_when_it_wants_tools() -> None:
    whole = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
    script = replace(ANSWER, tool_rounds=[[{"tool_calls": [whole]}]], tool_finish="stop")
    async with model(script) as (user, _, tools):
        assert await said(user) == "It is clear."
    assert tools.called == ["Rome"]


async def test_after_the_last_step_the_model_has_to_answer() -> None:
    script = replace(ANSWER, tool_rounds=[asks(WEATHER)] * 9)
    async with model(script, max_steps=2) as (user, server, tools):
        assert await said(user) == "It is clear."
    assert tools.called == ["Rome", "Rome"]
    assert [request.body.get("tool_choice") for request in server.requests] == [None, None, "none"]


async def test_a_model_that_does_not_answer_then_has_failed() -> None:
    script = replace(ANSWER, tool_rounds=[asks(WEATHER)] * 9, heeds_tool_choice=False)
    async with model(script, max_steps=2) as (user, _, tools):
        with pytest.raises(EngineError, match="no answer after 2 rounds of tools"):
            await said(user)
    assert tools.called == ["Rome", "Rome"]


async def test_half_a_request_is_not_carried_out() -> None:
    script = replace(ANSWER, ending="no-finish")
    async with model(script) as (user, _, tools):
        with pytest.raises(EngineError, match="the stream ended early"):
            await said(user)
    assert not tools.called


async def test_what_is_said_before_a_tool_is_a_paragraph_of_its_own() -> None:
    script = replace(ANSWER, tool_rounds=[asks(WEATHER, text="Let me look.")])
    async with model(script) as (user, server, _):
        assert await said(user) == "Let me look.\nIt is clear."
    assert server.requests[1].body["messages"][2]["content"] == "Let me look."


async def test_a_filler_is_said_once_while_tools_are_slow() -> None:
    script = replace(ANSWER, tool_rounds=[asks(("slow", "{}"))] * 2)
    async with model(script, filler="Wait.", filler_after_s=0.05, timeout_s=0.3) as (user, _, _):
        assert await said(user) == "Wait.\nIt is clear."


@pytest.mark.parametrize("use", [{"filler_after_s": 5.0}, {"filler": "", "filler_after_s": 0.01}])
async def test_no_filler(use: Mapping[str, object]) -> None:
    script = replace(ANSWER, tool_rounds=[asks(("slow", "{}"))])
    async with model(script, timeout_s=0.2, **use) as (user, _, _):
        assert await said(user) == "It is clear."


async def test_closing_the_reply_cancels_its_tools() -> None:
    script = replace(ANSWER, tool_rounds=[asks(("slow", "{}"), text="Let me look.")])
    async with model(script) as (user, server, tools):
        reader = asyncio.create_task(said(user))
        async with asyncio.timeout(DEADLINE_S):
            await tools.started.wait()
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            await tools.cancelled.wait()
    assert len(server.requests) == 1


async def test_fifty_interrupts_of_tools_leave_nothing_behind() -> None:
    script = replace(ANSWER, tool_rounds=[asks(("slow", "{}"), WEATHER)])
    async with model(script) as (user, server, tools):
        for _ in range(50):
            tools.started.clear()
            tools.cancelled.clear()
            reader = asyncio.create_task(said(user))
            async with asyncio.timeout(DEADLINE_S):
                await tools.started.wait()
                reader.cancel()
                await asyncio.wait({reader})
                await tools.cancelled.wait()
    assert len(server.requests) == 50


async def test_a_draft_uses_no_tool() -> None:
    script = replace(ANSWER, tool_rounds=[asks(WEATHER, text="Let me look.")])
    pieces: list[str] = []
    async with model(script, for_drafts=True) as (user, server, tools):
        with pytest.raises(DraftDeclined):
            async for piece in user.stream(CHAT):
                pieces.append(piece)  # noqa: PERF401 - an error must not lose what came before
    assert pieces == ["Let me look."]
    assert not tools.called
    assert len(server.requests) == 1


async def test_a_draft_is_declined_as_soon_as_a_tool_is_named() -> None:
    """The sooner it is known, the sooner the reply is asked for again."""
    first, _ = asks(WEATHER)
    script = replace(ANSWER, tool_rounds=[[first]], ending="stall")
    async with model(script, for_drafts=True) as (user, server, _):
        with pytest.raises(DraftDeclined):
            await said(user)
        await asyncio.wait_for(server.requests[0].disconnected.wait(), DEADLINE_S)


async def test_a_draft_that_needs_no_tool_is_a_reply() -> None:
    async with model(Script(), for_drafts=True) as (user, server, _):
        assert await said(user) == "Hello there."
    assert "tools" in server.requests[0].body, "it has to be able to say that it needs one"


ROME = {"city": "Rome"}
CITY_JSON = json.dumps(ROME)


@pytest.mark.parametrize(
    "deltas",
    [
        [{"tool_calls": [{"id": "x", "function": {"name": "weather", "arguments": CITY_JSON}}]}],
        [{"tool_calls": [{"index": 0, "function": {"name": "weather", "arguments": ROME}}]}],
        [
            {
                "content": '{"name": "weather", "parameters": {}}',
                "tool_calls": [
                    {"index": 0, "id": "x", "function": {"name": "weather", "arguments": CITY_JSON}}
                ],
            }
        ],
        [{"content": '{"name": "weather", '}, {"content": '"parameters": {"city": "Rome"}}'}],
        [
            {
                "tool_calls": [
                    {"index": 0, "id": "x", "function": {"name": "weather", "arguments": None}}
                ]
            }
        ]
        + [{"tool_calls": [{"index": 0, "function": {"arguments": c}}]} for c in CITY_JSON],
    ],
    ids=["no number", "an object", "text as well", "text alone", "letter by letter"],
)
async def test_calls_as_other_servers_send_them(deltas: list[Mapping[str, Any]]) -> None:
    async with model(replace(ANSWER, tool_rounds=[deltas])) as (user, _, tools):
        assert await said(user) == "It is clear."
    assert tools.called == ["Rome"]
