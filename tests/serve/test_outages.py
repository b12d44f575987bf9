"""What fails for a few seconds does not end a conversation, with one replica of everything."""

import os
import signal

import psutil
import pytest

from serve_app.client.session import converse
from serve_app.client.speech import trim
from serve_app.protocol.messages import EVENTS
from tests.serve.conftest import Server
from tests.serve.test_conversation import FORMAT, PROMPT, SENTENCE, error_rate, finish, said
from tests.speech import TRANSCRIPTS, clip

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]


def replica(server: Server, deployment: str) -> int:
    """Process id of the only replica of a deployment of this server."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    title = f"ray::ServeReplica:echo:{deployment}"
    (pid,) = [child.pid for child in children if title in " ".join(child.cmdline())]
    return pid


async def test_the_only_vad_is_killed_while_the_user_speaks(server: Server) -> None:
    """The frames wait for the next one: the transcript is whole, and answered."""
    async with converse(server.url, FORMAT) as session:
        await session.open(PROMPT, EVENTS)
        await finish(session)
        os.kill(replica(server, "VoiceActivity"), signal.SIGKILL)
        await session.say(trim(clip(SENTENCE)))
        assert error_rate(TRANSCRIPTS[SENTENCE], await said(session, "user")) <= 0.1
        assert await finish(session)
