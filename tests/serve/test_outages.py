"""What is away for a few seconds does not end a conversation, with one replica of everything.

Each process is killed (Serve starts another) or stopped for a while (SIGSTOP), at the moment that
hurts most. Nothing is lost, and nobody is told of an error: the user waits."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import psutil
import pytest

from bench import providers
from serve_app.client.session import EchoSession, converse
from serve_app.client.speech import trim
from serve_app.protocol.messages import EVENTS
from tests.serve.conftest import Server, config_with, free_port, running_server
from tests.serve.test_conversation import FORMAT, SENTENCE, error_rate, finish, said
from tests.serve.test_sessions import recorded
from tests.speech import TRANSCRIPTS, clip

pytestmark = [
    pytest.mark.serve,
    pytest.mark.models,
    pytest.mark.timeout(300),
    # tests/ingress/test_outages.py has the same waits without processes, and test_chaos.py kills
    # one of two replicas of a real server.
    pytest.mark.slow,
]

STOPPED_S = 12.0
"""Longer than all deadlines of a single call but those that an outage needs."""
QUESTION = "What is two plus two?"


def process(server: Server, title: str) -> int:
    """Process id of the only process of this server with this title."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    (pid,) = [child.pid for child in children if title in " ".join(child.cmdline())]
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def stop(pid: int) -> None:
    """For a while."""
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(STOPPED_S, _go_on, [pid]).start()  # whatever becomes of the test


def _go_on(pid: int) -> None:
    if psutil.pid_exists(pid):
        os.kill(pid, signal.SIGCONT)


Outage = Callable[[int], None]
OUTAGES = pytest.mark.parametrize(
    "strike",
    [
        pytest.param(kill, id="killed"),
        pytest.param(stop, id="stopped", marks=pytest.mark.slow),
    ],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With local servers in the place of LLM and voice, so that an agent starts within seconds."""
    port = free_port()
    config = config_with(tmp_path_factory.mktemp("server"), port)
    with (
        providers.provided() as environment,
        running_server(config, port, environment) as server,
    ):
        yield server


@asynccontextmanager
async def greeted(server: Server, resume: bool = False) -> AsyncIterator[EchoSession]:
    """A session that waits for the user. Afterwards: no error was told, and no socket was lost."""
    server.wait_until_idle()
    async with converse(server.url, FORMAT, resume) as session:
        await session.open(providers.PROMPT, EVENTS)
        await finish(session)
        yield session
        assert not session.resumes and not session.listener.done()
    assert not [message.fields for message in session.received if message.kind == "error"]


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began_s = time.monotonic()
    yield
    assert time.monotonic() - began_s < seconds


@OUTAGES
async def test_the_only_vad_is_away_while_the_user_speaks(server: Server, strike: Outage) -> None:
    """The frames wait for the next one: the transcript is whole, and answered."""
    async with greeted(server) as session:
        strike(process(server, "echo:VoiceActivity"))
        await session.say(trim(clip(SENTENCE)))
        assert error_rate(TRANSCRIPTS[SENTENCE], await said(session, "user")) <= 0.1
        assert await finish(session)


@OUTAGES
async def test_the_only_transcriber_is_away_when_a_turn_ends(
    server: Server, strike: Outage
) -> None:
    """The samples wait for the next one: the transcript is whole, and answered."""
    async with greeted(server) as session:
        saying = asyncio.create_task(session.say(trim(clip(SENTENCE))))
        await asyncio.sleep(1.0)
        strike(process(server, "echo:SpeechToText"))
        await saying
        assert error_rate(TRANSCRIPTS[SENTENCE], await said(session, "user")) <= 0.1
        assert await finish(session)


async def test_what_is_said_while_a_transcript_is_missing_joins_the_turn(server: Server) -> None:
    """The user wonders why nothing comes, and goes on: both are one turn. SENTENCE twice would be
    one utterance for Whisper, too, which mishears it in a seventh of all cases ("Amy a bull")."""
    async with greeted(server) as session:
        stop(process(server, "echo:SpeechToText"))
        for name in ("go_forward", SENTENCE):
            await session.say(trim(clip(name)))
            await asyncio.sleep(1.5)
        both = f"{TRANSCRIPTS['go_forward']} {TRANSCRIPTS[SENTENCE]}"
        assert error_rate(both, await said(session, "user")) <= 0.1
        assert await finish(session)


@pytest.mark.slow
@OUTAGES
async def test_the_only_agent_is_away_when_a_reply_is_asked_for(
    server: Server, strike: Outage
) -> None:
    """The reply waits for the next one; there is no apology."""
    async with greeted(server) as session:
        strike(process(server, "echo:Agent"))
        await session.send({"type": "text", "text": QUESTION})
        assert await said(session, "user") == QUESTION
        assert await finish(session) == providers.ANSWER


@OUTAGES
async def test_the_only_agent_is_away_in_the_middle_of_a_reply(
    server: Server, strike: Outage
) -> None:
    """It goes on when there is an agent again."""
    async with greeted(server) as session:
        await session.send({"type": "text", "text": QUESTION})
        assert await said(session, "user") == QUESTION
        await session.next("audio")
        strike(process(server, "echo:Agent"))
        # The LLM that stands in begins again where a real one would go on.
        assert (await finish(session)).endswith(providers.ANSWER)


@pytest.mark.slow
@OUTAGES
async def test_the_only_session_actor_is_away_during_turns(server: Server, strike: Outage) -> None:
    """Nobody hears of it: replies come as soon as without it, and afterwards all is kept."""
    async with greeted(server, resume=True) as session:
        with within(20.0):
            await session.send({"type": "text", "text": "What is one plus one?"})
            await finish(session)
        strike(process(server, "ray::SessionActor"))
        for question in (QUESTION, "And four?"):
            await session.send({"type": "text", "text": question})
            asked_s = time.monotonic()
            while (await session.next("audio")).at_s < asked_s:
                pass
            assert time.monotonic() - asked_s < 5.0
            await finish(session)
        await asyncio.sleep(STOPPED_S)
        (record,) = (await asyncio.to_thread(recorded, server)).values()
        asked = [m["content"] for m in record["history"] if m["role"] == "user"]
        assert asked[-2:] == [QUESTION, "And four?"]
