"""The default chat model in llama.cpp, with tools that are really called."""

import pytest

from serve_app.agent.llm.local.llama_cpp import LlamaCpp
from serve_app.agent.llm.tool_calls import ToolSpec
from serve_app.agent.parts import Called
from serve_app.agent.tools.python_tool import PythonTool
from serve_app.agent.tools.tool_user import ToolUser
from serve_app.conversation.calls import Offer
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.tool_messages import with_result, with_steps
from serve_app.errors import DraftDeclined
from serve_app.protocol.tools import Tool
from serve_app.settings.agent import LlmSettings, ToolUseSettings
from serve_app.settings.packaged import DEFAULT_LLM
from tests.agent.llm.conftest import at_rest
from tests.agent.tools.local import CITY, toolbox

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="module")]

SETTINGS = LlmSettings(
    provider="local",
    model=DEFAULT_LLM,
    device="cpu",
    threads=1,
    max_new_tokens=60,
    max_sequence_length=1024,
    parallel_replies=2,
    first_token_timeout_s=60,
    next_token_timeout_s=60,
)
SYSTEM = ChatMessage("system", "You are a friendly voice assistant. Answer in one short sentence.")
ABOUT = "Tells the weather in a city."
ROME = (SYSTEM, ChatMessage("user", "What is the weather in Rome?"))
SEA = (SYSTEM, ChatMessage("user", "Tell me about the sea."))


class Weather:
    """A tool, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, city: str) -> str:
        self.asked.append(city)
        return f"It is sunny in {city}, 21 degrees."

    def user(self, llm: LlamaCpp, for_drafts: bool = False) -> ToolUser:
        box = toolbox(PythonTool(ToolSpec("get_weather", ABOUT, CITY), self))
        return ToolUser(llm, box, ToolUseSettings(), for_drafts)


async def reply(user: ToolUser, chat: tuple[ChatMessage, ...]) -> str:
    return "".join([piece async for piece in user.stream(chat)])


def after(chat: tuple[ChatMessage, ...], said: str, asked: str) -> tuple[ChatMessage, ...]:
    return (*chat, ChatMessage("assistant", said), ChatMessage("user", asked))


async def read_by(llm: LlamaCpp, user: ToolUser, chat: tuple[ChatMessage, ...]) -> tuple[int, str]:
    before = llm.read_tokens
    said = await reply(user, chat)
    await at_rest(llm)
    return llm.read_tokens - before, said


async def test_it_uses_a_tool_and_tells_the_result(llm: LlamaCpp) -> None:
    weather = Weather()
    said = await reply(weather.user(llm), ROME)
    assert weather.asked == ["Rome"]
    assert "21" in said and "sunny" in said and "{" not in said


async def test_it_uses_a_tool_again_in_the_same_conversation(llm: LlamaCpp) -> None:
    weather = Weather()
    user = weather.user(llm)
    chat = after(ROME, await reply(user, ROME), "What is the weather in Berlin?")
    assert "Berlin" in await reply(user, chat)
    assert weather.asked == ["Rome", "Berlin"]


async def test_a_reply_that_needs_no_tool_is_the_one_without_tools(llm: LlamaCpp) -> None:
    weather = Weather()
    plain = "".join([piece async for piece in llm.stream(SEA)])
    assert await reply(weather.user(llm), SEA) == plain
    assert weather.asked == []


async def test_a_draft_uses_none(llm: LlamaCpp) -> None:
    weather = Weather()
    with pytest.raises(DraftDeclined):
        await reply(weather.user(llm, for_drafts=True), ROME)
    assert weather.asked == []


async def test_the_client_is_asked_for_its_tool_and_answered(llm: LlamaCpp) -> None:
    schema = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
    offer = Offer((Tool("get_weather", ABOUT, schema),))
    user = ToolUser(llm, toolbox(), ToolUseSettings())
    *words, called = [part async for part in user.answer(ROME, offer)]
    assert words == [] and isinstance(called, Called)
    (call,) = called.steps[-1].calls
    chat = with_result(with_steps(ROME, called.steps), call.id, "It is sunny in Rome, 21 degrees.")
    assert chat is not None
    said = [part async for part in user.answer(chat, offer)]
    assert "21" in "".join(part for part in said if isinstance(part, str))
    assert not any(isinstance(part, Called) for part in said)


async def test_each_turn_reads_only_its_own_words_twice(llm: LlamaCpp) -> None:
    """Once for the question whether it needs a tool, and once for the answer."""
    user = Weather().user(llm)
    _, said = await read_by(llm, user, SEA)
    chat = after(SEA, said, "What lives in it?")
    second, said = await read_by(llm, user, chat)
    chat = after(chat, said, "Thank you.")
    third, _ = await read_by(llm, user, chat)
    assert max(second, third) < 40


async def test_tools_that_leave_no_room_are_left_out(
    llm: LlamaCpp, caplog: pytest.LogCaptureFixture
) -> None:
    tools = [ToolSpec(f"tool_{i}", "Does one thing or another. " * 4, CITY) for i in range(40)]
    said = "".join([str(part) async for part in llm.step(SEA, tools)])
    assert said and "leave no room" in caplog.text
