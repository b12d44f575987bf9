"""Conversations with servers of OpenAI's API that others have written, over the real wire."""

from collections.abc import Iterator, Sequence

import pytest

from serve_app.agent.llm.openai_chat import OpenAiChat
from serve_app.agent.llm.tool_calls import CallAssembler, ToolCallDelta, ToolSpec, ToolStep
from serve_app.conversation.history import ChatMessage
from serve_app.settings.agent import LlmSettings
from tests.agent.llm import servers
from tests.agent.llm.test_transformers_llm import make_model

SYSTEM = ChatMessage("system", "You are a voice assistant. Answer in one short sentence.")


@pytest.fixture(scope="module", params=["llama.cpp", "transformers serve"])
def settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LlmSettings]:
    if request.param == "llama.cpp":
        with servers.llama_cpp() as found:
            yield found
        return
    folder = tmp_path_factory.mktemp("model")
    make_model(folder)
    with servers.transformers_serve(folder) as found:
        yield found


async def reply_of(llm: OpenAiChat, chat: Sequence[ChatMessage]) -> str:
    return "".join([piece async for piece in llm.stream(chat)])


async def test_a_conversation_of_three_turns(settings: LlmSettings) -> None:
    llm = OpenAiChat(settings, "")
    chat = [SYSTEM, ChatMessage("assistant", "Hello, how can I help?")]
    for words in ("What is the capital of France?", "And of Italy?", "Thank you."):
        chat.append(ChatMessage("user", words))
        reply = await reply_of(llm, chat)
        assert reply.strip()
        chat.append(ChatMessage("assistant", reply))
    await llm.aclose()


async def test_a_conversation_goes_on_after_an_interruption(settings: LlmSettings) -> None:
    llm = OpenAiChat(settings, "")
    story = llm.stream([SYSTEM, ChatMessage("user", "Tell me a long story.")])
    begin = await anext(story)
    await story.aclose()
    chat = [
        SYSTEM,
        ChatMessage("user", "Tell me a long story."),
        ChatMessage("assistant", begin),
        ChatMessage("user", "Stop. What is the capital of France?"),
    ]
    assert (await reply_of(llm, chat)).strip()
    await llm.aclose()


@pytest.mark.parametrize("settings", ["llama.cpp"], indirect=True)
async def test_llama_cpp_says_that_a_chat_is_too_long_and_the_conversation_goes_on(
    settings: LlmSettings, caplog: pytest.LogCaptureFixture
) -> None:
    llm = OpenAiChat(settings, "")
    turns = [ChatMessage("user", "one two three " * 8), ChatMessage("assistant", "four " * 24)]
    chat = [SYSTEM, *turns * 10, ChatMessage("user", "What is the capital of France?")]
    assert "Paris" in await reply_of(llm, chat)
    assert "the chat is too long for default" in caplog.text
    await llm.aclose()


@pytest.mark.parametrize("settings", ["llama.cpp"], indirect=True)
async def test_llama_cpp_uses_a_tool(settings: LlmSettings) -> None:
    llm = OpenAiChat(settings, "")
    weather = ToolSpec(
        "weather",
        "The weather of now. Use it for each question about the weather.",
        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    )
    chat = [SYSTEM, ChatMessage("user", "What is the weather in Paris now?")]
    asked, text = CallAssembler(), ""
    async for part in llm.step(chat, [weather]):
        if isinstance(part, ToolCallDelta):
            asked.add(part)
        else:
            text += part
    (call,) = asked.calls
    assert (call.name, "Paris" in call.arguments) == ("weather", True)
    step = ToolStep(text, asked.calls, ("It is raining, 12 degrees.",))
    # The model is too small to make use of the result. The server takes it.
    assert [part async for part in llm.step(chat, [weather], [step], may_call=False)]
    await llm.aclose()
