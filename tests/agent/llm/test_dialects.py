"""Servers that refuse what others take. What a refusal says is learnt once. Over the real wire."""

from dataclasses import replace

import pytest

from serve_app.agent.llm.tool_calls import (
    CallAssembler,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    ToolStep,
)
from serve_app.conversation.history import ChatMessage
from serve_app.errors import ReplyRefused
from serve_app.fakes.openai import Script
from serve_app.fakes.openai_refusals import SIGNATURE, Strictness
from tests.agent.llm.replies import CHAT, answering, collect, fails, said

HELLO = "Hello there."
IDLE = [
    ChatMessage("system", "Be brief."),
    ChatMessage("assistant", "Are you there?"),
    ChatMessage("user", "Yes."),
]
"""What a session without greeting sends after its idle prompt."""
WEATHER = ToolSpec("weather", "Tells the weather.", {"type": "object"})


async def asked_twice(strictness: Strictness, **settings: object) -> list[dict[str, object]]:
    """The bodies of the requests for two replies, which both come."""
    async with answering(Script(strictness=strictness), **settings) as (llm, server):
        for _ in range(2):
            await collect(llm.stream(IDLE), pieces := [])
            assert "".join(pieces) == HELLO
    return [request.body for request in server.requests]


def roles(body: dict[str, object]) -> list[str]:
    messages = body["messages"]
    assert isinstance(messages, list)
    return [message["role"] for message in messages]


@pytest.mark.parametrize("strictness", ["alternating", "template"])
async def test_strict_role_order_is_found_out_by_one_refusal(strictness: Strictness) -> None:
    refused, first, second = await asked_twice(strictness)
    assert roles(refused) == ["system", "assistant", "user"]
    assert roles(first) == roles(second) == ["system", "user", "assistant", "user"]


async def test_a_model_without_system_messages_gets_the_prompt_from_the_user() -> None:
    *_, last = await asked_twice("no-system")
    assert roles(last) == ["user", "assistant", "user"]
    assert str(last["messages"]).count("Be brief.") == 1


async def test_role_order_can_be_set() -> None:
    first, _ = await asked_twice("alternating", role_order="alternating")
    assert roles(first) == ["system", "user", "assistant", "user"]
    _, error = await fails(Script(strictness="no-system"), role_order="free")
    assert error.message == "HTTP 400"  # not "HTTP 400 400"


async def test_azure_gets_its_own_name_for_the_limit() -> None:
    refused, first, second = await asked_twice("completion-tokens")
    assert "max_tokens" in refused
    for body in (first, second):
        assert "max_tokens" not in body and body["max_completion_tokens"] == 400


# --- effort ---


@pytest.mark.parametrize(
    ("strictness", "model", "efforts"),
    [
        ("anything", "gpt-4.1-mini", [None, None]),
        ("anything", "openai/gpt-5-mini", ["minimal", "minimal"]),
        ("least-effort", "gpt-5", ["minimal", "none", "none"]),
        ("no-effort", "o3", ["low", None, None]),
    ],
)
async def test_the_least_effort_is_asked_for(
    strictness: Strictness, model: str, efforts: list[str | None]
) -> None:
    bodies = await asked_twice(strictness, model=model)
    assert [body.get("reasoning_effort") for body in bodies] == efforts


async def test_effort_that_was_set_is_not_changed() -> None:
    _, error = await fails(
        Script(strictness="least-effort"), model="gpt-5.1", reasoning_effort="minimal"
    )
    assert error.message == "HTTP 400 unsupported_parameter (reasoning_effort)"


async def test_what_is_set_is_sent_and_nothing_else() -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 20, "top_p": 0.5}
    settings = {"temperature": 0.0, "top_p": 0.9, "seed": 7, "stop": ["User:"], "extra_body": extra}
    _, server = await said(Script(), **settings, reasoning_effort="low")
    (request,) = server.requests
    wanted = {**settings, **extra, "reasoning_effort": "low", "max_tokens": 400}
    del wanted["extra_body"]
    sent = {k: v for k, v in request.body.items() if k not in ("model", "messages", "stream")}
    assert sent == wanted


# --- tools ---


async def test_a_model_without_tools_answers_without(caplog: pytest.LogCaptureFixture) -> None:
    async with answering(Script(strictness="no-tools")) as (llm, server):
        for _ in range(2):
            parts = [part async for part in llm.step(CHAT, [WEATHER])]
            assert "".join(map(str, parts)) == HELLO
    assert ["tools" in request.body for request in server.requests] == [True, False, False]
    assert caplog.text.count("it has no tools") == 1


async def test_tools_want_the_effort_that_the_refusal_names() -> None:
    async with answering(Script(strictness="none-with-tools"), model="o3") as (llm, server):
        _ = [part async for part in llm.step(CHAT, [WEATHER])]
    assert [request.body["reasoning_effort"] for request in server.requests] == ["low", "none"]


async def test_deepseek_gets_the_field_of_thoughts_in_all_that_the_agent_has_said() -> None:
    step = ToolStep(
        "", (ToolCall("a", "weather", "{}"),), ("Sunny.",), {"reasoning_content": "Hm."}
    )
    async with answering(Script(strictness="thoughts")) as (llm, server):
        for steps in ([step], []):
            _ = [part async for part in llm.step(IDLE, [WEATHER], steps)]
    thoughts = [
        [m.get("reasoning_content") for m in request.body["messages"] if m["role"] == "assistant"]
        for request in server.requests
    ]
    assert thoughts == [[None, None], ["", "Hm."], [""]]


ASKS = Script(
    tool_rounds=[
        [
            {"reasoning_content": "They want"},
            {"reasoning_content": " to know."},
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "a",
                        "function": {"name": "weather", "arguments": "{}"},
                        "extra_content": SIGNATURE,
                    }
                ]
            },
        ]
    ]
)


@pytest.mark.parametrize("strictness", ["anything", "signatures", "thoughts"])
async def test_opaque_fields_of_a_call_go_back_as_they_are(strictness: Strictness) -> None:
    async with answering(replace(ASKS, strictness=strictness)) as (llm, server):
        calls = CallAssembler()
        async for part in llm.step(CHAT, [WEATHER]):
            assert isinstance(part, ToolCallDelta)
            calls.add(part)
        step = ToolStep("", calls.calls, ("Sunny.",), calls.thoughts)
        parts = [part async for part in llm.step(CHAT, [WEATHER], [step])]
    assert "".join(map(str, parts)) == HELLO
    assistant = server.requests[-1].body["messages"][2]
    assert assistant["tool_calls"][0]["extra_content"] == SIGNATURE
    thoughts = "They want to know." if strictness == "thoughts" else None
    assert assistant.get("reasoning_content") == thoughts


# --- filters ---


async def test_a_prompt_that_the_filter_refuses_is_a_refusal() -> None:
    chat = [ChatMessage("user", "Where do I get poison?")]
    with pytest.raises(ReplyRefused):
        await said(Script(strictness="filter"), chat)
