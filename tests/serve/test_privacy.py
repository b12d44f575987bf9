"""What is said, and the keys with which it is answered, are nowhere but where they belong.

A server with Ray's dashboard has a conversation in which every secret is a canary, and in which
everything goes wrong that can. Then everything that the server shows or leaves behind is searched.
"""

import asyncio
import json
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from serve_app.client.playback import Received
from serve_app.client.session import EchoSession, converse
from serve_app.client.speech import trim
from serve_app.fakes import openai as openai_server
from serve_app.fakes.elevenlabs_http import FakeElevenLabsHttp
from serve_app.fakes.elevenlabs_script import Script as VoiceScript
from serve_app.ingress.serve_headers import CALLBACK
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import EVENTS
from tests.agent.tools.local import CITY, serving
from tests.serve import everywhere
from tests.serve.conftest import START_S, Server, config_with, free_port, running
from tests.speech import clip

pytestmark = [
    pytest.mark.serve,
    pytest.mark.models,
    # Nothing quicker searches everything. tests/agent/test_redirects.py has where keys do not go,
    # tests/ingress/test_event_log.py who reads logs, test_serve_headers.py the headers.
    pytest.mark.slow,
    pytest.mark.timeout(420),
]


def canary(name: str) -> str:
    """One word that is nowhere else, and that a voice says as it is."""
    letters = "".join(secrets.choice("abcdefghijklmnop") for _ in range(12))
    return f"zq{name}{letters}"


_NAMES = (
    "prompt", "greeting", "typed", "reply", "argument", "toolresult", "openaikey", "elevenkey",
    "toolkey", "bearer", "subprotocol", "field", "option", "type", "idleprompt",
)  # fmt: skip


@dataclass
class Secrets:
    """The canaries, by what they stand for."""

    words: dict[str, str] = field(default_factory=lambda: {name: canary(name) for name in _NAMES})

    def __getitem__(self, name: str) -> str:
        return self.words[name]


@dataclass
class Scene:
    """A server, those it talks to, and what must not be found."""

    server: Server
    openai: openai_server.FakeOpenAi
    elevenlabs: FakeElevenLabsHttp
    secrets: Secrets
    folder: Path
    dashboard: str
    ray_token: str
    haproxy_log: everywhere.Syslog
    haproxy_ports: tuple[int, int]


def _call(name: str, id: str, **arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"tool_calls": [{"index": 0, "id": id, "function": function}]}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, since Ray makes sockets in it."""
    path = Path(tempfile.mkdtemp(prefix="ec-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def scene(folder: Path, tmp_path: Path) -> AsyncIterator[Scene]:
    words = Secrets()

    async def weather(scope: Any, receive: Any, send: Any) -> None:
        body = await Request(scope, receive).json()
        status = 500 if body["city"] == "nowhere" else 200
        answer: Response = PlainTextResponse(f"{words['toolresult']} {body}", status)
        await answer(scope, receive, send)

    async with AsyncExitStack() as stack:
        openai = await stack.enter_async_context(openai_server.FakeOpenAi())
        elevenlabs = await stack.enter_async_context(FakeElevenLabsHttp())
        endpoint = await stack.enter_async_context(serving(weather))
        haproxy_log = stack.enter_context(everywhere.syslog())
        about = {"description": "d", "parameters": CITY}
        agent = {
            "tts": {"transport": "http"},  # the script counts for each clause
            "tools": [
                {"name": "weather", "url": endpoint, "api_key_variable": "TOOL_KEY", **about},
                {"name": "broken", "python": "tests.agent.tools.local:broken", **about},
            ],
            "mcp_servers": [
                {
                    "name": "chatty",
                    "command": [sys.executable, "-m", "tests.agent.tools.mcp_chatty"],
                }
            ],
        }
        port, token = free_port(), secrets.token_hex(16)
        ports = free_port(), free_port()
        environment = {
            "OPENAI_API_KEY": words["openaikey"],
            "TEXT_GENERATION_API_URL": openai.url,
            "ELEVEN_LABS_API_KEY": words["elevenkey"],
            "ELEVEN_LABS_API_URL": elevenlabs.url,
            "TOOL_KEY": words["toolkey"],
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_ENABLE_TASK_EVENTS": "1",  # or the dashboard knows no calls of Serve's
            "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": CALLBACK,
            "RAY_SERVE_HAPROXY_LOG_TARGET": haproxy_log.address,
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports[0]),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(ports[1]),
            "RAY_TMPDIR": str(folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token,
        }
        config = config_with(tmp_path, port, agent=agent)
        command = [str(Path(sys.executable).with_name("serve")), "run", str(config)]
        sign = "Submitted deploy config successfully"
        running_one = running(command, port, sign, environment)
        server = await asyncio.to_thread(running_one.__enter__)
        try:
            await _answers(server)
            found = re.search(r"ashboard at \S*?(127\.0\.0\.1:\d+)", server.output)
            assert found, server.output
            yield Scene(
                server, openai, elevenlabs, words, folder, found[1], token, haproxy_log, ports
            )
        finally:
            await asyncio.to_thread(running_one.__exit__, None, None, None)


async def _answers(server: Server) -> None:
    async with asyncio.timeout(START_S):
        while True:
            with suppress(OSError):
                await asyncio.to_thread(server.healthz)
                return
            await asyncio.sleep(0.5)


async def test_what_is_said_and_the_keys_are_found_nowhere(scene: Scene) -> None:
    known = await asyncio.to_thread(_planted, scene)
    token = await _conversation(scene)
    await _refusals(scene)
    spoken = trim(clip("go_forward")).astype("<f4").tobytes()
    canaries: dict[str, str | bytes] = {
        **scene.secrets.words,
        "the audio": spoken[len(spoken) // 2 :][:32],
        "the resume token": token.partition(".")[2],
        "the transcript": "10 meters",
        "the transcript in words": "ten meters",
    }
    places = await asyncio.to_thread(_places, scene)
    assert len([p for p in places if p.startswith("file ")]) > 20, list(places)
    assert b"Agent" in places["/api/v0/actors?detail=1&limit=10000"]
    assert b"Agent.handle_request" in places["/api/v0/tasks?detail=1&limit=10000"]
    assert b"RUNNING" in places["/api/serve/applications/"]
    name = token.partition(".")[0].encode()
    begun = b"session " + name + b", or one that is resumed, begins"
    assert any(begun in text for text in places.values()), "its owner cannot name the session"
    assert not everywhere.missed(places, known), "the search would not find what is there"
    hits = everywhere.found_in(places, canaries)
    assert not hits, "\n".join(hits)


def _planted(scene: Scene) -> dict[str, str]:
    """A word that the search has to find, each by the place that it is in: in a file among Ray's
    logs, and in the query of a request, which HAProxy logs; elsewhere one that is always there."""
    word = canary("planted")
    log = next(path for path in scene.folder.rglob("logs") if path.is_dir()) / "planted.txt"
    log.write_text(f"somebody said {word}.")
    everywhere.answer(f"http://127.0.0.1:{scene.server.port}/?said={word}")
    return {
        f"file {log.relative_to(scene.folder)}": word,
        "HAProxy's log": word,
        "HAProxy's metrics": "haproxy_",
        "HAProxy's statistics": "HAProxy",
        "metrics of ": "ray_",
        "the server's output": "Submitted deploy config",
        "/healthz": "status",
    }


def _places(scene: Scene) -> dict[str, bytes]:
    port = scene.server.port
    metrics, stats = scene.haproxy_ports
    return {
        "the server's output": scene.server.output.encode(),
        "/healthz": scene.server.healthz(),
        "HAProxy's log": b"\n".join(scene.haproxy_log.lines),
        "HAProxy's metrics": everywhere.answer(f"http://127.0.0.1:{metrics}/metrics"),
        "HAProxy's statistics": everywhere.answer(f"http://127.0.0.1:{stats}/stats"),
        "/-/routes": everywhere.answer(f"http://127.0.0.1:{port}/-/routes"),
        **everywhere.dashboard(scene.dashboard, scene.ray_token),
        **{f"file {name}": text for name, text in everywhere.files(scene.folder).items()},
    }


async def _conversation(scene: Scene) -> str:
    """Says everything, and has every reply go wrong in another way. Returns the resume token."""
    words, openai = scene.secrets, scene.openai
    openai.script = openai_server.Script(pieces=[f"Well, {words['reply']} it is."])
    async with converse(scene.server.url, parse_format("pcm_44100"), resume=True) as session:
        await session.open(
            f"Keep {words['prompt']} to yourself.",
            EVENTS,
            greeting=f"Hello {words['greeting']}.",
            turn={"idle_prompt": words["idleprompt"]},
        )
        first: str = (await session.next("session")).fields["resume_token"]
        await _reply(session)
        await session.say(trim(clip("go_forward")))
        await _reply(session)
        await _tools(session, scene)
        failures = []
        for script in _FAILURES:
            openai.script = script
            failures.append(await _typed(session, words))
        openai.script = openai_server.Script(pieces=[f"Well, {words['reply']} it is."])
        for voice in _voice_failures(words):
            scene.elevenlabs.script = voice
            failures.append(await _typed(session, words))
        scene.elevenlabs.script = VoiceScript()
        await session.lose_connection()
        second: str = (await session.next("session")).fields["resume_token"]
        await _typed(session, words)
    assert first != second
    stages = [failure.fields["stage"] for failure in failures if failure.kind == "error"]
    assert stages.count("llm") >= 4 and stages.count("tts") >= 4, stages
    return second


_FAILURES = (
    openai_server.Script(status=500),
    openai_server.Script(status=400, error_code="invalid_request_error"),
    openai_server.Script(status=401),
    openai_server.Script(status=404),
    openai_server.Script(drop_first=1_000_000),
    openai_server.Script(ending="cut"),
    openai_server.Script(strictness="filter"),
)


def _voice_failures(words: Secrets) -> list[VoiceScript]:
    """The body of a refusal quotes the clause, or has it as its code."""
    return [
        VoiceScript(status=400),
        VoiceScript(status=400, detail={"code": words["reply"], "message": words["reply"]}),
        VoiceScript(status=422, detail=f"{words['reply']} is too long"),
        VoiceScript(status=500),
        VoiceScript(cut_after=0),
        VoiceScript(status=401),
    ]


async def _tools(session: EchoSession, scene: Scene) -> None:
    words = scene.secrets
    city = words["argument"]
    for calls in (
        [_call("weather", "a", city=city)],
        [_call("weather", "b", city="nowhere")],
        [_call("broken", "c", city=city)],
        [_call("gossip", "d", secret=city)],
        [_call("weather", "e", town=city), _call(city, "f")],
    ):
        scene.openai.script = openai_server.Script(
            pieces=["Fine."], tool_rounds=[calls, [{"content": f"It is {words['reply']}."}]]
        )
        await _typed(session, words)
    asked = json.dumps([request.body for request in scene.openai.requests])
    assert words["toolresult"] in asked and "I told nobody" in asked


async def _typed(session: EchoSession, words: Secrets) -> Received:
    await session.send({"type": "text", "text": f"What about {words['typed']}?"})
    return await _reply(session)


async def _reply(session: EchoSession) -> Received:
    """What the agent has answered, or that it could not."""
    while True:
        message = await session.next("transcript", "error")
        if message.kind == "error" or message.fields["role"] == "agent":
            return message


async def _refusals(scene: Scene) -> None:
    """Secrets in the wrong places: what a client gets wrong may be its own key."""
    words = scene.secrets
    headers = {
        "Authorization": f"Bearer {words['bearer']}",
        "x-request-id": words["field"],
        "x-session-id": words["field"],
        "serve_multiplexed_model_id": words["field"],
        "traceparent": words["field"],
    }
    first = {"type": "open", "prompt": ""}
    for message in (
        {"type": words["type"]},
        {"type": "open", "prompt": "", "language": words["option"]},
        {"type": "open", "prompt": "", "voice": words["option"] * 50},
        {"type": "open", "prompt": "", "turn": {"preset": words["option"]}},
        {"type": "open", "prompt": "", "turn": {words["option"]: 1}},
        {"type": "open", "prompt": "", "events": [words["option"]]},
        {"type": "open", "resume_token": words["option"]},
        {"type": "open", "resume_token": f"{'0' * 32}.{words['option']}"},
        {**first, "greeting": False, "voice": words["option"]},
    ):
        protocols: Any = [f"echo.{words['subprotocol']}"]
        async with connect(
            scene.server.url, additional_headers=headers, subprotocols=protocols
        ) as socket:
            await socket.send(msgpack.packb(message))
            with suppress(ConnectionClosed):
                await socket.send(msgpack.packb({"type": "text", "text": words["typed"]}))
                await socket.send(msgpack.packb({"type": "close"}))
                while True:
                    await socket.recv()
