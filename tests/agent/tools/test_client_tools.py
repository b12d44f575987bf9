"""Tools that the client runs, from the chat model to what the client is asked."""

import asyncio
import json
from contextlib import aclosing

import pytest

from serve_app.agent.parts import Called
from serve_app.agent.speaker import Speaker
from serve_app.agent.tools.tool_user import ToolUser
from serve_app.agent.tts.elevenlabs.multi_context import MultiContextVoice
from serve_app.conversation.calls import Call, Offer, Step
from serve_app.conversation.history import PENDING, ChatMessage
from serve_app.conversation.tool_messages import with_steps
from serve_app.errors import DraftDeclined
from serve_app.fakes.elevenlabs import FakeElevenLabs
from serve_app.fakes.openai import Script
from serve_app.protocol.formats import parse_format
from serve_app.protocol.tools import Tool
from serve_app.settings.agent import TtsSettings
from tests.agent.chains import FORMAT, Clock, Known, voice_chain
from tests.agent.tools.local import DEADLINE_S
from tests.agent.tools.test_tool_user import CHAT, WEATHER, asks, model

LOOK = ("look", '{"at": "it"}')
OFFER = Offer((Tool("look", "Looks.", '{"type": "object", "properties": {}}'),))


async def answered(user: ToolUser, offer: Offer = OFFER) -> tuple[str, Called | None]:
    """The text of a reply, and what it ends with."""
    async with asyncio.timeout(DEADLINE_S), aclosing(user.answer(CHAT, offer)) as parts:
        found = [part async for part in parts]
    called = [part for part in found if isinstance(part, Called)]
    assert not called or found[-1] is called[0]
    text = "".join(part for part in found if isinstance(part, str))
    return text, called[0] if called else None


async def test_a_call_of_the_clients_ends_the_reply() -> None:
    script = Script(["Never said."], tool_rounds=[asks(LOOK, text="Let me look.")])
    async with model(script) as (user, server, tools):
        text, called = await answered(user)
    assert text == "Let me look.\n"
    assert called == Called((Step((Call("id0", *LOOK),), (None,)),))
    (request,) = server.requests
    names = [tool["function"]["name"] for tool in request.body["tools"]]
    assert names == ["weather", "slow", "broken", "look"] and not tools.called


async def test_the_servers_own_tools_are_used_on_the_way() -> None:
    script = Script(["Never said."], tool_rounds=[asks(WEATHER), asks(LOOK, WEATHER)])
    async with model(script) as (user, _, tools):
        _, called = await answered(user)
    assert called is not None and tools.called == ["Rome", "Rome"]
    assert [step.results for step in called.steps] == [
        ("Clear in Rome.",),
        (None, "Clear in Rome."),
    ]


async def test_a_servers_tool_keeps_its_name() -> None:
    script = Script(["It is clear."], tool_rounds=[asks(WEATHER)])
    async with model(script) as (user, server, tools):
        offer = Offer((Tool("weather", "Mine.", '{"type": "object"}'),))
        assert await answered(user, offer) == ("It is clear.", None)
    assert tools.called == ["Rome"]
    names = [tool["function"]["name"] for tool in server.requests[0].body["tools"]]
    assert names.count("weather") == 1


async def test_at_most_eight_calls_reach_the_client() -> None:
    async with model(Script([], tool_rounds=[asks(*[LOOK] * 10)])) as (user, _, _):
        _, called = await answered(user)
    assert called is not None
    results = called.steps[-1].results
    assert results[:8] == (None,) * 8 and all(r and "only 8" in r for r in results[8:])


async def test_an_agent_that_may_not_call_says_what_it_has() -> None:
    async with model(Script(["A cup."])) as (user, server, _):
        assert await answered(user, Offer(OFFER.tools, may_call=False)) == ("A cup.", None)
    body = server.requests[0].body
    assert body["tool_choice"] == "none" and body["tools"][-1]["function"]["name"] == "look"


async def test_a_draft_calls_nothing() -> None:
    async with model(Script([], tool_rounds=[asks(LOOK)]), for_drafts=True) as (user, _, _):
        with pytest.raises(DraftDeclined):
            await answered(user)


async def test_the_chat_with_the_result_is_what_providers_take() -> None:
    call = Call("id0", "look", '{"at": ', '{"extra_content": {"signature": "s"}}')
    asked = with_steps((*CHAT, ChatMessage("assistant", "Let me look.")), [Step((call,), (None,))])
    async with model(Script(["A cup."])) as (user, server, _):
        async with asyncio.timeout(DEADLINE_S):
            assert [part async for part in user.answer(asked, OFFER)] == ["A cup."]
    assert server.requests[0].body["messages"][2:] == [
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {
                    "extra_content": {"signature": "s"},
                    "id": "id0",
                    "type": "function",
                    "function": {"name": "look", "arguments": "{}"},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "id0", "content": PENDING},
    ]
    assert json.dumps(server.requests[0].body)


@pytest.mark.parametrize("text", ["", "Let me look. "])
async def test_the_call_is_the_last_part_of_a_spoken_reply(text: str) -> None:
    script = Script([], tool_rounds=[asks(LOOK, text=text)])
    async with model(script) as (user, _, _), FakeElevenLabs() as elevenlabs:
        settings = TtsSettings(api_url=elevenlabs.url)
        voice = MultiContextVoice(settings, "k", parse_format("pcm_22050"))
        async with voice_chain(voice, known=Known(), clock=Clock()) as voices:
            reply = Speaker(user, voices, FORMAT).reply(CHAT, offer=OFFER)
            async with asyncio.timeout(DEADLINE_S), aclosing(reply) as parts:
                *spoken, called = [part async for part in parts]
    assert isinstance(called, Called) and bool(spoken) == bool(text)
