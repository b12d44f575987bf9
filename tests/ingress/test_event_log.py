"""A logged session, replayed."""

import asyncio
import json
import os
import stat
from pathlib import Path

import msgpack
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect

from serve_app.cli import main
from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.calls import Call, Step
from serve_app.conversation.history import ChatMessage, Record
from serve_app.conversation.machine import Conversation
from serve_app.conversation.open_reply import OpenReply
from serve_app.conversation.piece import Piece
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.sound import Sound
from serve_app.errors import ConfigError
from serve_app.ingress.event_log import EventLog, logs_of
from serve_app.ingress.replay import replay
from serve_app.protocol.tools import Tool
from tests.conversation.score import Noise, Says, Score
from tests.conversation.slow_score import SlowScore
from tests.ingress.replica import (
    DEADLINE_S,
    OPEN,
    Replica,
    closing,
    next_message,
    replica,
    says,
)

STORY = "One two three four five six seven eight nine ten eleven twelve."


class LoggedScore(Score):
    """Writes its log as the driver does."""

    log: EventLog

    def _handle(self, event: ev.Event) -> list[ef.Effect]:
        effects = super()._handle(event)
        self.log.write(self.now_s, event, effects)
        return effects


class LoggedSlowScore(LoggedScore, SlowScore):
    """The same at a client that reads slowly."""


def session(path: Path, has_audio: bool = False) -> Path:
    settings = TurnSettings()
    sounds = [Says(1, 2, "Tell me a story."), Noise(4.0, 4.2), Says(5, 6.5, "No, another one.")]
    score = LoggedScore(sounds, settings, answer=lambda chat: STORY, greeting=None)
    score.log = EventLog(path, settings, has_audio)
    score.play(10)
    score.log.close()
    return path


@pytest.mark.parametrize("has_audio", [False, True])
def test_a_replay_gives_the_same_effects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], has_audio: bool
) -> None:
    log = session(tmp_path / "session.jsonl", has_audio)
    assert main(["replay", str(log)]) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    effects = sum(len(line["effects"]) for line in lines)
    assert f"{len(lines)} events gave the same {effects} effects" in capsys.readouterr().out


def test_a_conversation_with_a_slow_client_and_a_limit_is_replayed(tmp_path: Path) -> None:
    settings = TurnSettings(max_session_s=15)
    sounds = [Says(1, 2, "Tell me a story."), Says(5, 6.5, "No, another one.")]
    score = LoggedSlowScore(sounds, settings, answer=lambda chat: STORY, bytes_per_s=16_000)
    score.log = EventLog(tmp_path / "slow.jsonl", settings, has_audio=False)
    score.play(20)
    score.log.close()
    log = (tmp_path / "slow.jsonl").read_text()
    assert '"Backlog"' in log and '"CloseSocket", "code": 4411' in log
    result = replay(tmp_path / "slow.jsonl")
    assert result.difference is None and result.events == len(log.splitlines()) - 1


def test_a_conversation_that_was_resumed_is_replayed(tmp_path: Path) -> None:
    reply = OpenReply("token001", (("One two three.", 1.5), (" Four.", 0.5)), False, 0.2)
    history = (ChatMessage("system", "Be kind."), ChatMessage("user", "Count."))
    opened = ev.Opened(
        "", frozenset({"state", "transcript"}), None, "en", Sound("joe", 16_000),
        {"backchannels": ["yeah"], "idle_close_ms": 5000}, is_resumable=True,
        record=Record(history, 2, 3, reply, 512, text_id=7, given=(reply,)),
        played=ev.Played("token001", 700),
    )  # fmt: skip
    piece = Piece(b"\0\1" * 50, "three.", 0.4)
    events = [opened, ev.ReplyBegan(3, 1), ev.ReplyAudio(3, 1, piece), ev.Expired(3, ev.Timer.HOLD)]
    tokens = iter(f"token{number:03}" for number in range(4, 99))
    machine = Conversation(TurnSettings(), lambda: next(tokens))
    log = EventLog(tmp_path / "resumed.jsonl", TurnSettings(), has_audio=False)
    for at_s, event in enumerate(events):
        log.write(float(at_s), event, machine.handle(event, float(at_s)))
    log.close()
    result = replay(tmp_path / "resumed.jsonl")
    assert result.difference is None and result.events == len(events)
    assert result.effects > len(events)


def test_audio_is_logged_only_if_that_is_configured(tmp_path: Path) -> None:
    def samples(log: Path) -> object:
        lines = [json.loads(line) for line in log.read_text().splitlines()[1:]]
        return next(step["event"]["samples"] for step in lines if "samples" in step["event"])

    assert samples(session(tmp_path / "without.jsonl")) == 512
    assert isinstance(samples(session(tmp_path / "with.jsonl", has_audio=True)), str)


def test_a_replay_shows_where_it_differs(tmp_path: Path) -> None:
    log = session(tmp_path / "session.jsonl")
    header, *lines = log.read_text().splitlines()
    patient = json.loads(header)
    patient["settings"]["end_silence_ms"] = 900
    log.write_text("\n".join([json.dumps(patient), *lines]))
    result = replay(log)
    assert result.difference is not None and result.difference.event == "VoiceActivity"
    assert main(["replay", str(log)]) == 1


STEP = '{"at_s": 0, "event": {"type": "Dance"}, "effects": []}'


@pytest.mark.parametrize(
    "text", ["", "hello", "[1]", '{"settings": {"colour": 1}}', '{"settings": {}}\n' + STEP]
)
def test_a_file_that_is_not_a_log_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "no.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is no event log") as caught:
        replay(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="is no event log"):
        replay(tmp_path / "nowhere.jsonl")


def test_a_log_is_for_its_owner_only(tmp_path: Path) -> None:
    """What was said is in it. Whatever the umask says."""
    before = os.umask(0)
    try:
        log = session_file(tmp_path / "logs" / "a.jsonl")
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700


async def test_a_log_begins_with_the_session(tmp_path: Path) -> None:
    """Or a stranger who connects again and again would fill the disk with files."""
    logs = tmp_path / "logs"
    settings = {"event_log_dir": str(logs), "max_sessions": 1}
    async with replica(ingress=settings) as server:
        async with connect(server.url, proxy=None) as late:  # while there is a place
            socket = await server.call(say={"resume": True})
            token = (await next_message(socket, "session"))["resume_token"]
            await says(socket, "Hello.")
            await late.send(msgpack.packb(OPEN))
            assert (await closing(late))[0] == 1013
        (log,) = logs.iterdir()
        session, _, _ = token.partition(".")
        assert log.name == f"{session}.jsonl"
        await hang_up(server, socket)
        unknown = await server.call(say={"resume_token": f"{session}.wrong"})
        assert (await closing(unknown))[0] == 4404
        assert logs_of(logs, session) == [log] == list(logs.iterdir())
        await hang_up(server, await server.call(say={"resume_token": token}))
    second, first = logs_of(logs, session)
    assert first == log and second.name.count(".") == 2
    for path in (first, second):
        result = replay(path)
        assert result.difference is None and result.events > 1
        assert json.loads(path.read_text().splitlines()[1])["event"]["type"] == "Opened"


async def hang_up(server: Replica, socket: ClientConnection) -> None:
    """Returns when the session is over at this socket."""
    await next_message(socket, "state")
    await socket.close()
    async with asyncio.timeout(DEADLINE_S):
        while server.ingress._door.unfinished:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.02)


def test_the_logs_of_a_session_are_found_by_its_name(tmp_path: Path) -> None:
    """It is resumed at other sockets, which have names of their own."""
    first = session_file(tmp_path / "aa.jsonl")
    other = session_file(tmp_path / "ab.jsonl")
    resumed = session_file(tmp_path / "aa.bb.jsonl")
    assert logs_of(tmp_path, "aa") == [resumed, first]
    assert logs_of(tmp_path, "ab") == [other]
    assert logs_of(tmp_path / "nowhere", "aa") == logs_of(tmp_path, "a*") == []


def session_file(path: Path) -> Path:
    EventLog(path, TurnSettings(), has_audio=False).close()
    return path


def test_a_session_with_a_clients_tools_and_push_to_talk_replays(tmp_path: Path) -> None:
    """The events that only such clients have."""
    path, settings = tmp_path / "log.jsonl", TurnSettings()
    log, machine = EventLog(path, settings, False), Conversation(settings, lambda: "token001")
    look = Tool("look", "Looks.", '{"type": "object"}')
    turn = {"detects_turns": False, "answers_turns": False}
    step = Step((Call("a", "look", "{}", '{"signature": 1}'),), (None,))
    opened = ev.Opened("", greeting="", sound=Sound(is_text=True), turn=turn, tools=(look,))
    events = [opened, ev.AudioReceived(np.zeros(1600, np.float32)), ev.TurnCommitted()]
    events += [ev.Transcribed(2, 1, "What is this?"), ev.TurnCleared(), ev.ReplyRequested()]
    events += [ev.ToolsCalled(2, 1, (step,)), ev.ReplyEnded(2, 1), ev.ToolAnswered("a", "a cup")]
    for number, event in enumerate([*events, ev.ReplyRequested()]):
        log.write(number, event, machine.handle(event, number))
    log.close()
    found = replay(path)
    assert found.difference is None and found.events == 10
    assert '"role": "tool", "content": "a cup"' in path.read_text()
