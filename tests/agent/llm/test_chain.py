"""Chat models that fail, and the next one that answers, over real sockets."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from serve_app.agent.llm.chain import LlmChain
from serve_app.agent.llm.openai_chat import OpenAiChat
from serve_app.agent.tools.python_tool import PythonTool
from serve_app.agent.tools.tool_user import ToolUser
from serve_app.agent.tools.toolbox import Toolbox
from serve_app.conversation.history import ChatMessage
from serve_app.errors import EngineError, EngineUnavailable
from serve_app.fakes.openai import FakeOpenAi, Script
from serve_app.settings.agent import LlmSettings, ToolUseSettings
from tests.agent.chains import DOWN, Clock, Known, chat_chain
from tests.agent.tools.local import spec

CHAT = [ChatMessage("user", "My secret is 4711.")]
FIRST_TOKEN_S = 1.0
DEADLINE_S = 2.0
OTHER = Script(["The other", " one."])


@dataclass
class Two:
    """A chain of two models and the servers behind them."""

    chain: LlmChain
    first: FakeOpenAi
    second: FakeOpenAi
    known: Known = field(default_factory=Known)
    clock: Clock = field(default_factory=Clock)

    async def reply(self) -> str:
        async with asyncio.timeout(DEADLINE_S):
            return "".join([part async for part in self.chain.stream(CHAT)])


def model(url: str) -> OpenAiChat:
    settings = LlmSettings(
        provider="generic", model="m", api_url=url, first_token_timeout_s=FIRST_TOKEN_S
    )
    return OpenAiChat(settings, "sk-hush")


@asynccontextmanager
async def two(script: Script, url: str = "", failures: int = 3) -> AsyncIterator[Two]:
    known, clock = Known(), Clock()
    async with (
        FakeOpenAi(script) as first,
        FakeOpenAi(OTHER) as second,
        chat_chain(
            model(url or first.url), model(second.url), known=known, clock=clock, failures=failures
        ) as chain,
    ):
        yield Two(chain, first, second, known, clock)


@pytest.mark.parametrize(
    ("script", "url"),
    [
        (Script(), DOWN),
        (Script(status=401), ""),
        (Script(status=500), ""),
        (Script(status=429, retry_after_s=60), ""),
        (Script(is_mute=True), ""),
        (Script((), "stall"), ""),
        (Script((), "cut"), ""),
        (Script((), "bad-json"), ""),
    ],
    ids=["refused", "401", "500", "429", "mute", "stall", "cut", "bad-json"],
)
async def test_the_next_one_answers(script: Script, url: str) -> None:
    async with two(script, url) as chain:
        assert await chain.reply() == "The other one."
        assert chain.known.failures == ["a"]
        assert chain.known.available == {"a": script.status != 401, "b": True}


async def test_the_first_choice_answers_while_it_can() -> None:
    async with two(Script()) as chain:
        assert await chain.reply() == "Hello there."
        assert chain.second.requests == []
        assert chain.known.failures == []


async def test_a_reply_that_has_begun_is_not_begun_again() -> None:
    async with two(Script(ending="cut")) as chain:
        heard = ""
        with pytest.raises(EngineUnavailable):
            async for part in chain.chain.stream(CHAT):
                heard += part
        assert heard == "Hello there."
        assert chain.second.requests == []
        assert chain.known.failures == ["a"]


async def test_one_that_fails_again_and_again_is_left_out_and_tried_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with two(Script(status=500)) as chain:
        for _ in range(5):
            assert await chain.reply() == "The other one."
        assert len(chain.first.requests) == 3
        chain.clock.now_s = 29.0
        await chain.reply()
        assert len(chain.first.requests) == 3

        chain.clock.now_s = 30.0
        await chain.reply()
        assert len(chain.first.requests) == 4, "the trial"
        assert chain.known.available == {"a": False, "b": True}

        chain.first.script = Script()
        chain.clock.now_s = 60.0
        assert await chain.reply() == "Hello there."
        assert chain.known.available == {"a": True, "b": True}
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines == ["llm: a is not asked for 30 s (HTTP 500)", "llm: a answers again"]


async def test_a_trial_is_made_by_one_reply_at_a_time() -> None:
    async with two(Script(status=500), failures=1) as chain:
        await chain.reply()
        chain.first.script = Script(is_mute=True)
        chain.clock.now_s = 30.0
        replies = await asyncio.gather(*(chain.reply() for _ in range(4)))
        assert set(replies) == {"The other one."}
        assert len(chain.first.requests) == 2


async def test_a_wrong_request_says_nothing_about_the_model() -> None:
    async with two(Script(status=400), failures=1) as chain:
        for _ in range(3):
            assert await chain.reply() == "The other one."
        assert len(chain.first.requests) == 3
        assert chain.known.available == {"a": True, "b": True}


async def test_an_interrupted_reply_says_nothing_about_a_model_that_was_silent() -> None:
    async with two(Script(is_mute=True), failures=1) as chain:
        reply = asyncio.create_task(chain.reply())
        await chain.first.arrived.wait()
        reply.cancel()
        await asyncio.gather(reply, return_exceptions=True)
        async with asyncio.timeout(DEADLINE_S):
            await chain.first.requests[0].disconnected.wait()
        assert chain.known.failures == []
        assert chain.second.requests == []


async def test_when_all_are_left_out_the_next_in_turn_is_asked_all_the_same() -> None:
    async with two(Script(status=401)) as chain:
        chain.second.script = Script(status=401)
        for _ in range(2):
            with pytest.raises(EngineError, match="HTTP 401"):
                await chain.reply()
        assert (len(chain.first.requests), len(chain.second.requests)) == (2, 1)
        chain.first.script = Script()
        assert await chain.reply() == "Hello there."
        assert chain.known.available == {"a": True, "b": False}


async def test_one_without_an_alternative_is_always_asked() -> None:
    known = Known()
    async with (
        FakeOpenAi(Script(status=401)) as server,
        chat_chain(model(server.url), known=known, clock=Clock()) as chain,
    ):
        for _ in range(3):
            with pytest.raises(EngineError, match="HTTP 401"):
                await anext(chain.stream(CHAT))
        assert len(server.requests) == 3
        assert known.available == {"a": False}


async def test_no_tool_is_used_twice_when_a_model_fails_after_it() -> None:
    call = {"index": 0, "id": "x", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    script = Script(tool_rounds=[[{"tool_calls": [call]}]])
    async with two(script) as chain:
        cities: list[str] = []

        def weather(city: str) -> str:
            cities.append(city)
            chain.first.script = Script(status=500)
            return "clear"

        use = ToolUseSettings()
        tools = Toolbox([PythonTool(spec("weather"), weather)], use)
        async with asyncio.timeout(DEADLINE_S):
            parts = [part async for part in ToolUser(chain.chain, tools, use).stream(CHAT)]
        assert "".join(parts) == "The other one."
        assert cities == ["Rome"]
        (request,) = chain.second.requests
        assert request.body["messages"][-1] == {
            "role": "tool", "tool_call_id": "x", "content": "clear",
        }  # fmt: skip
