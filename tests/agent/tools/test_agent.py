"""Tools through the agent's deployment, with LLM, voice and endpoint over real sockets.

Serve's local testing mode runs the deployment in this process: no Ray is started.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import Mock

import psutil
import pytest
from ray import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from deployments.agent import Agent
from serve_app.agent.parts import ToolUsed
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.calls import Call, Offer, Step
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.sound import Sound
from serve_app.fakes.elevenlabs import FakeElevenLabs
from serve_app.fakes.openai import FakeOpenAi, Script
from serve_app.ingress.calls import Calls
from serve_app.ingress.load import Load
from serve_app.ingress.work import Work
from serve_app.protocol.tools import Tool
from serve_app.settings.schema import AppConfig
from tests.agent.tools.local import CITY, DEADLINE_S, no_task_is_left, serving

CHAT = (ChatMessage("system", "Be brief."), ChatMessage("user", "How is the weather in Rome?"))
CALL = {"index": 0, "id": "a", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}


@dataclass
class Weather:
    """An endpoint that answers when it is released."""

    called: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[Any] = field(default_factory=list)

    async def __call__(self, request: Request) -> Response:
        self.calls.append(await request.json())
        self.called.set()
        released = asyncio.ensure_future(self.release.wait())
        gone = asyncio.ensure_future(request.receive())  # only a hang-up can still come
        await asyncio.wait({released, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.hung_up.set()
        released.cancel()
        gone.cancel()
        return PlainTextResponse("clear")


@dataclass
class Session:
    """A session's work on replies, and the events that come of it."""

    work: Work
    events: "asyncio.Queue[ev.Event]"
    weather: Weather
    openai: FakeOpenAi

    @property
    def asked(self) -> list[Any]:
        """The requests for replies; one more asks at start whether the model takes tools."""
        requests = (request.body for request in self.openai.requests)
        return [body for body in requests if len(body["messages"]) > 1]

    async def until(self, *kinds: type) -> list[ev.Event]:
        """Events, up to the first of these kinds."""
        seen: list[ev.Event] = []
        async with asyncio.timeout(DEADLINE_S):
            while not (seen and isinstance(seen[-1], kinds)):
                seen.append(await self.events.get())
        return seen


@asynccontextmanager
async def session(
    monkeypatch: pytest.MonkeyPatch, script: Script, **use: object
) -> AsyncIterator[Session]:
    weather = Weather()
    app = Starlette(routes=[Route("/weather", weather.__call__, methods=["POST"])])
    async with FakeOpenAi(script) as openai, FakeElevenLabs() as voice, serving(app) as url:
        monkeypatch.setenv("ELEVEN_LABS_API_KEY", "k")
        tool = {"name": "weather", "description": "d", "parameters": CITY, "url": f"{url}/weather"}
        agent = {
            "llm": {"provider": "generic", "model": "m", "api_url": openai.url},
            "tts": {"provider": "elevenlabs", "api_url": voice.url},
            "tools": [tool],
            "tool_use": use,
        }
        config = AppConfig.model_validate({"agent": agent})
        deployment = serve.deployment(Agent).bind(config.agent)
        handle = serve.run(deployment, _local_testing_mode=True)
        events: asyncio.Queue[ev.Event] = asyncio.Queue()
        work = Work("s", Calls(config, handle, handle, handle, Load()), events.put_nowait, Mock())
        yield Session(work, events, weather, openai)
        for task in work.tasks:
            task.cancel()
        await asyncio.gather(*work.tasks, return_exceptions=True)
        weather.release.set()


def text(events: list[ev.Event]) -> str:
    return "".join(e.piece.text for e in events if isinstance(e, ev.ReplyAudio))


async def test_a_draft_calls_no_tool_and_the_reply_does(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = [[{"content": "Let me look."}, {"tool_calls": [CALL]}]]
    async with session(monkeypatch, Script(["It is clear."], tool_rounds=rounds)) as talk:
        talk.work.start(ef.Reply(1, 1, CHAT, is_draft=True))
        events = await talk.until(ev.ReplyEnded, ev.ReplyFailed, ev.DraftDeclined)
        assert events[-1] == ev.DraftDeclined(1, 1)
        assert text(events).strip() == "Let me look."
        assert not talk.weather.calls
        assert len(talk.asked) == 1

        talk.weather.release.set()
        talk.work.start(ef.Reply(1, 2, CHAT))
        events = await talk.until(ev.ReplyEnded, ev.ReplyFailed, ev.DraftDeclined)
        assert events[-1] == ev.ReplyEnded(1, 2)
        assert text(events).split() == ["Let", "me", "look.", "It", "is", "clear."]
        assert talk.weather.calls == [{"city": "Rome"}]


async def test_the_filler_is_heard_while_the_tool_works(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(["It is clear."], tool_rounds=[[{"tool_calls": [CALL]}]])
    async with session(monkeypatch, script, filler_after_s=0.05) as talk:
        talk.work.start(ef.Reply(1, 1, CHAT))
        heard = await talk.until(ev.ReplyAudio)
        while "please." not in text(heard):
            heard += await talk.until(ev.ReplyAudio)
        assert talk.weather.called.is_set()
        talk.weather.release.set()
        heard += await talk.until(ev.ReplyEnded, ev.ReplyFailed)
        assert text(heard).split() == ["One", "moment,", "please.", "It", "is", "clear."]


@pytest.mark.parametrize("is_text", [False, True])
async def test_who_asks_is_told_what_was_used(
    monkeypatch: pytest.MonkeyPatch, is_text: bool
) -> None:
    used: list[ToolUsed] = []
    script = Script(["It is clear."], tool_rounds=[[{"tool_calls": [CALL]}]])
    async with session(monkeypatch, script) as talk:
        talk.work.tool_used = used.append
        talk.weather.release.set()
        talk.work.start(ef.Reply(1, 1, CHAT, Sound(is_text=is_text)))
        events = await talk.until(ev.ReplyEnded, ev.ReplyFailed)
    assert text(events).split() == ["It", "is", "clear."]
    (tool,) = used
    assert (tool.name, tool.arguments, tool.result) == ("weather", '{"city": "Rome"}', "clear")
    assert 0 < tool.duration_ms < 1000 * DEADLINE_S and tool.ago_ms >= 0


async def test_an_interrupt_ends_the_call_of_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(["It is clear."], tool_rounds=[[{"tool_calls": [CALL]}]])
    async with session(monkeypatch, script) as talk:
        talk.work.start(ef.Reply(1, 1, CHAT))
        async with asyncio.timeout(DEADLINE_S):
            await talk.weather.called.wait()
            talk.work.cancel(ef.Cancel(1))
            await talk.weather.hung_up.wait()
        assert len(talk.asked) == 1, "the model is not asked again"


async def test_a_model_without_tools_is_named_at_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with session(monkeypatch, Script(strictness="no-tools")) as talk:
        async with asyncio.timeout(DEADLINE_S):
            await talk.openai.reached(2)
            await talk.openai.idle()
        assert caplog.text.count("m: it has no tools: replies do without") == 1
        talk.work.start(ef.Reply(1, 1, CHAT))
        events = await talk.until(ev.ReplyEnded, ev.ReplyFailed)
        assert text(events).split() == ["Hello", "there."]
    assert caplog.text.count("it has no tools") == 1


async def test_a_refusal_reaches_the_conversation_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with session(monkeypatch, Script(strictness="filter")) as talk:
        talk.work.start(ef.Reply(1, 1, (*CHAT, ChatMessage("user", "Where do I get poison?"))))
        events = await talk.until(ev.ReplyEnded, ev.ReplyFailed)
    message = "the provider's content filter"
    assert events == [ev.ReplyFailed(1, 1, "llm", message, is_refused=True)]


async def test_a_replica_that_ends_tells_its_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Serve: the constructor runs in the event loop, and `__del__` is awaited."""
    monkeypatch.setenv("ELEVEN_LABS_API_KEY", "k")
    server = {"name": "weather", "command": [sys.executable, "-m", "tests.agent.tools.mcp_weather"]}
    agent = {
        "llm": {"provider": "generic", "model": "m", "api_url": "http://127.0.0.1:1/v1"},
        "tts": {"provider": "elevenlabs", "api_url": "ws://127.0.0.1:1"},
        "mcp_servers": [server],
    }
    others = psutil.Process().children()
    replica = Agent(AppConfig.model_validate({"agent": agent}).agent)
    closing = replica.__del__()
    assert closing is not None
    async with asyncio.timeout(2 * DEADLINE_S):
        await closing
    assert replica.__del__() is None
    assert await no_task_is_left()
    left = [child for child in psutil.Process().children() if child not in others]
    assert not [child for child in left if child.is_running()]


async def test_a_replica_connects_at_start_and_hangs_up_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ELEVEN_LABS_API_KEY", "k")
    async with FakeElevenLabs() as voice:
        agent = {
            "llm": {"provider": "generic", "model": "m", "api_url": "http://127.0.0.1:1/v1"},
            "tts": {
                "provider": "elevenlabs",
                "api_url": voice.url,
                "api_key_variable": "ELEVEN_LABS_API_KEY",
            },
        }
        replica = Agent(AppConfig.model_validate({"agent": agent}).agent)
        async with asyncio.timeout(DEADLINE_S):
            await voice.opened.wait()
            closing = replica.__del__()
            assert closing is not None
            await closing
            (connection,) = voice.connections
            await connection.closed.wait()
    assert replica.__del__() is None
    assert await no_task_is_left()


async def test_a_call_of_the_clients_tool_reaches_the_conversation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look = {"index": 0, "id": "a", "function": {"name": "look", "arguments": "{}"}}
    rounds = [[{"content": "Let me look."}, {"tool_calls": [look]}]]
    async with session(monkeypatch, Script(["Never said."], tool_rounds=rounds)) as talk:
        offer = Offer((Tool("look", "Looks.", '{"type": "object"}'),))
        talk.work.start(ef.Reply(1, 1, CHAT, offer=offer))
        events = await talk.until(ev.ReplyEnded, ev.ReplyFailed)
    assert text(events).strip() == "Let me look." and events[-1] == ev.ReplyEnded(1, 1)
    assert events[-2] == ev.ToolsCalled(1, 1, (Step((Call("a", "look", "{}"),), (None,)),))
