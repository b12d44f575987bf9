"""Records of calls at the ingress replica as it is, behind a real HTTP server. Only Whisper, the
chat model and the voice are a script."""

import asyncio
import json
import stat
from glob import glob
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from serve_app.agent.parts import ToolUsed
from serve_app.client.speech import trim
from serve_app.conversation.calls import Call, Step
from serve_app.protocol.messages import Samples
from serve_app.records.schema import CallRecord
from tests.ingress.realtime_caller import calling
from tests.ingress.replica import DEADLINE_S, Replica, closing, next_message, replica, says
from tests.ingress.telephone_caller import heard_by, phoning
from tests.records.mixed import loudness, sides, sounds_at
from tests.speech import clip

pytestmark = pytest.mark.timeout(120)

STORY = "Well, that is a long story, and it began a hundred years ago in a very small town."
STOPPED = "I have stopped talking."
RECORD_S = 20.0


def kept(tmp_path: Path, **settings: Any) -> dict[str, Any]:
    """The settings of an ingress that keeps records in a folder."""
    places = {"url": str(tmp_path / "records"), "spool_dir": str(tmp_path / "spool")}
    return {"records": places | settings}


async def records_in(tmp_path: Path, count: int = 1) -> list[CallRecord]:
    """Once there are so many, and nothing waits any more."""
    folder = tmp_path / "records"
    async with asyncio.timeout(RECORD_S):
        while len(found := kept_in(folder)) < count or waiting(tmp_path):  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # nobody is told of a file
    return [CallRecord.model_validate_json(path.read_text()) for path in found]


def kept_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.json"))


def waiting(tmp_path: Path) -> list[Path]:
    return [tmp_path / "spool" / path for path in glob("*/*/", root_dir=tmp_path / "spool")]


async def plays(socket: Any, samples: Samples) -> None:
    """As a microphone does."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for start in range(0, len(samples), 512):
        await asyncio.sleep(began_s + start / 16_000 - loop.time())
        audio = samples[start : start + 512].astype("<f4").tobytes()
        await socket.send(msgpack.packb({"type": "audio", "audio": audio}))


async def test_a_whole_call_is_kept_as_it_was_heard(tmp_path: Path) -> None:
    """The user types, is answered, and interrupts the answer by voice."""
    async with replica(ingress=kept(tmp_path, recording=True)) as server:
        answers(server, STORY, "Stopped.")
        server.script.heard = "Please stop talking now."
        socket = await server.call()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await says(socket, "Tell me a story.")
        await next_message(socket, "audio")
        heard_s = loop.time() - began_s
        await asyncio.sleep(1.5)
        spoke_s = loop.time() - began_s
        silence = np.zeros(32_000, np.float32)
        talking = asyncio.create_task(
            plays(socket, np.concatenate((trim(clip("go_forward")), silence)))
        )
        await next_message(socket, "interrupt")
        cut_s = loop.time() - began_s
        await next_message(socket, "audio")
        again_s = loop.time() - began_s
        await talking
        await asyncio.sleep(1.0)
        await socket.send(msgpack.packb({"type": "close"}))
        assert await closing(socket) == (1000, "bye")
        (record,) = await records_in(tmp_path)
    told = [(turn.role, turn.text) for turn in record.turns]
    asked, story, stop, stopped = record.turns
    assert told[0] == ("user", "Tell me a story.")
    assert story.role == "agent" and story.interrupted and STORY.startswith(story.text)
    assert (stop.role, stop.text, stop.language) == ("user", "Please stop talking now.", "en")
    assert stopped.text == "Stopped." and not stopped.interrupted
    assert [asked.at_s, story.at_s, stop.at_s, stopped.at_s] == pytest.approx(
        [0.0, heard_s, spoke_s, again_s], abs=0.5
    )
    assert story.latencies is not None and story.latencies.llm_ms > 0
    assert stopped.latencies is not None and stopped.latencies.endpoint_ms > 0
    assert (record.protocol, record.close.code, record.close.reason) == ("echo", 1000, "bye")
    assert record.is_complete and record.errors == record.tool_calls == ()
    assert record.session == record.socket

    assert record.recording is not None and record.recording.is_complete
    assert record.recording.duration_s == pytest.approx(record.duration_s, abs=0.1)
    user, agent = sides(tmp_path / "records" / record.recording.file)
    first, second = sounds_at(agent)
    assert first == pytest.approx((heard_s, cut_s), abs=0.15), "cut where the user cut it"
    assert second[0] == pytest.approx(again_s, abs=0.15)
    assert second[1] - second[0] == pytest.approx(len("Stopped.") / 15, abs=0.02)
    assert loudness(agent, cut_s + 0.15, again_s - 0.15) == 0
    assert loudness(user, 0, spoke_s - 0.15) == 0
    assert loudness(user, spoke_s, spoke_s + 1) > 0.01


def answers(server: Replica, *texts: str) -> None:
    """What the agent says; the last one again and again."""
    server.script.answers.clear()
    server.script.answers.extend(texts)


async def test_by_default_nothing_is_kept(tmp_path: Path) -> None:
    async with replica() as server:
        socket = await server.call()
        await says(socket, "Hello.")
        assert server.ingress._keeper is None
    assert waiting(tmp_path) == []


async def test_a_client_is_sent_nothing_that_it_did_not_ask_for(tmp_path: Path) -> None:
    """The record needs more of the conversation than this client."""
    async with replica(ingress=kept(tmp_path)) as server:
        socket = await server.call(say={"events": [], "greeting": "Hi."})
        types = set()
        async with asyncio.timeout(DEADLINE_S):
            while "audio" not in types:
                types.add(msgpack.unpackb(await socket.recv())["type"])
        await socket.send(msgpack.packb({"type": "state", "state": "waiting"}))
        await socket.send(msgpack.packb({"type": "close"}))
        await closing(socket)
        (record,) = await records_in(tmp_path)
    assert types == {"token", "audio"}
    assert [(turn.role, turn.text) for turn in record.turns] == [("agent", "Hi.")]
    assert record.recording is None, "sound is kept only if that is configured"


async def test_a_session_that_is_resumed_has_a_record_for_each_socket(tmp_path: Path) -> None:
    async with replica(ingress=kept(tmp_path, recording=True)) as server:
        socket = await server.call(say={"resume": True})
        token = (await next_message(socket, "session"))["resume_token"]
        await says(socket, "Hello.")
        await next_message(socket, "audio")
        await socket.close()
        await records_in(tmp_path)
        again = await server.call(say={"resume_token": token})
        await says(again, "Are you there?")
        await again.send(msgpack.packb({"type": "close"}))
        await closing(again)
        found = await records_in(tmp_path, count=2)
    first, second = sorted(found, key=lambda record: record.started)
    assert first.session == first.socket == second.session == token.partition(".")[0]
    assert second.socket != second.session
    assert (first.close.code, second.close.code) == (1001, 1000)
    assert first.turns[0].text == "Hello."
    assert second.turns[-2 if second.turns[-1].role == "agent" else -1].text == "Are you there?"


async def test_what_was_wrong_is_not_quoted(tmp_path: Path) -> None:
    """It may be a key in the wrong place."""
    async with replica(ingress=kept(tmp_path)) as server:
        socket = await server.call()
        await says(socket, "Hello.")
        await socket.send(msgpack.packb({"type": "sk-secret"}))
        assert (await closing(socket))[0] == 4400
        (record,) = await records_in(tmp_path)
    assert record.close.code == 4400 and "sk-secret" not in record.model_dump_json()


async def test_openais_clients_have_records_too(tmp_path: Path) -> None:
    async with (
        replica(ingress=kept(tmp_path, recording=True)) as server,
        calling(server.address) as caller,
    ):
        answers(server, "It is noon.")
        await caller.write("What time is it?")
        await caller.until("response.done")
        await asyncio.sleep(0.9)
        await caller.send.close()
        (record,) = await records_in(tmp_path)
    assert record.protocol == "realtime"
    assert [turn.text for turn in record.turns] == ["What time is it?", "It is noon."]
    assert record.recording is not None
    _, agent = sides(tmp_path / "records" / record.recording.file)
    ((start, end),) = sounds_at(agent)
    assert end - start == pytest.approx(len("It is noon.") / 15, abs=0.02)
    spectrum = np.abs(np.fft.rfft(agent))
    assert spectrum.argmax() * 16_000 / len(agent) == pytest.approx(220, abs=5)


async def test_what_the_client_was_asked_to_do_is_kept(tmp_path: Path) -> None:
    look = [{"name": "look", "parameters": {"type": "object"}}]
    async with replica(ingress=kept(tmp_path)) as server:
        answers(server, "A cup.")
        server.script.calls.append(Step((Call("a", "look", "{}"),), (None,)))
        socket = await server.call(say={"tools": json.dumps(look)})
        await socket.send(msgpack.packb({"type": "text", "text": "What is there?"}))
        asked = await next_message(socket, "tool_call")
        answer = {"type": "tool_result", "call_id": asked["call_id"], "output": "a cup"}
        await socket.send(msgpack.packb(answer))
        await socket.send(msgpack.packb({"type": "reply"}))
        await next_message(socket, "audio")
        await socket.send(msgpack.packb({"type": "close"}))
        await closing(socket)
        (record,) = await records_in(tmp_path)
    (tool,) = record.tool_calls
    assert (tool.name, tool.arguments, tool.result) == ("look", "{}", "a cup")
    assert tool.duration_ms is not None and 0 < tool.duration_ms < 1000 * DEADLINE_S


async def test_what_the_agent_did_is_kept(tmp_path: Path) -> None:
    """tests/agent/tools/test_agent.py has how the agent says so."""
    async with replica(ingress=kept(tmp_path)) as server:
        server.script.used.append(ToolUsed("weather", '{"city": "Rome"}', "clear", 120.0))
        socket = await server.call()
        await says(socket, "How is the weather?")
        await next_message(socket, "audio")
        await socket.send(msgpack.packb({"type": "close"}))
        await closing(socket)
        (record,) = await records_in(tmp_path)
    (tool,) = record.tool_calls
    assert (tool.name, tool.result, tool.duration_ms) == ("weather", "clear", 120.0)


async def test_a_replica_that_ends_delivers_its_records(tmp_path: Path) -> None:
    async with replica(ingress=kept(tmp_path, recording=True)) as server:
        app = server.ingress.__serve_build_asgi_app__()
        async with app.router.lifespan_context(app):
            socket = await server.call()
            await says(socket, "Hello.")
            server.ingress._door.drain(1.0)
            assert (await closing(socket))[0] == 1012
            async with asyncio.timeout(DEADLINE_S):
                while server.ingress._door.unfinished:  # noqa: ASYNC110 - nobody is told of it
                    await asyncio.sleep(0.02)
        assert waiting(tmp_path) == []
        (record,) = await records_in(tmp_path)
    assert record.close.code == 1012 and record.is_complete


async def test_a_telephone_call_has_what_was_said_and_heard_on_the_line(tmp_path: Path) -> None:
    """A caller who speaks over the agent. What was played is known from marks."""
    async with (
        replica(ingress=kept(tmp_path, recording=True)) as server,
        phoning(server.address) as call,
    ):
        answers(server, STORY, STOPPED)
        server.script.heard = "Please stop talking now."
        await call.has_played(1.0)
        await call.say()
        await call.until("clear")
        await call.has_played(len(call.played) / 8000 + len(STOPPED) / 15)
        await call.socket.send(call.twilio.stop())
        assert await call.ending() == (1000, "bye")
        (record,) = await records_in(tmp_path)
    assert record.protocol == "telephony" and record.recording is not None
    cut, stop, stopped = record.turns
    assert cut.interrupted and STORY.startswith(cut.text)
    assert stop.text == "Please stop talking now."
    assert stopped.role == "agent" and STOPPED.startswith(stopped.text)
    user, agent = sides(tmp_path / "records" / record.recording.file)
    before_s = max(end for _, end in sounds_at(agent) if end < stopped.at_s)
    assert before_s < stop.at_s + 1.0, "nothing of what was cleared"
    heard = heard_by(call)
    assert len(agent[np.abs(agent) > 0.01]) == pytest.approx(
        len(heard[np.abs(heard) > 0.01]) * 16_000 / 8000, rel=0.1
    )
    assert loudness(user, 0, record.duration_s) > 0.01


async def test_records_are_for_their_owner_only(tmp_path: Path) -> None:
    async with replica(ingress=kept(tmp_path, recording=True)) as server:
        socket = await server.call()
        await says(socket, "Hello.")
        (noted,) = waiting(tmp_path)
        for path in noted.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for path in (noted, noted.parent, noted.parent.parent):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        await socket.send(msgpack.packb({"type": "close"}))
        await closing(socket)
        await records_in(tmp_path)
    folder = tmp_path / "records"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = {path.suffix for path in folder.iterdir()}
    assert names == {".json", ".flac"}
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_disk_that_fails_ends_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with replica(ingress=kept(tmp_path, recording=True)) as server:
        socket = await server.call()
        await says(socket, "Hello.")
        (noted,) = waiting(tmp_path)
        for path in noted.iterdir():
            path.unlink()
        noted.rmdir()
        for text in ("Are you still there?", "And now?"):
            await socket.send(msgpack.packb({"type": "text", "text": text}))
            await next_message(socket, "interrupt")
            await next_message(socket, "audio")
        await socket.send(msgpack.packb({"type": "close"}))
        assert (await closing(socket))[0] == 1000
    assert "the record of session" in caplog.text
    assert not list((tmp_path / "records").glob("*"))


async def test_a_spool_that_cannot_be_had_ends_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").write_text("a file")
    async with replica(ingress=kept(tmp_path)) as server:
        socket = await server.call()
        await says(socket, "Hello.")
    assert "no records are kept" in caplog.text


def test_the_record_is_what_its_schema_says() -> None:
    schema = CallRecord.model_json_schema()
    assert json.dumps(schema) and schema["additionalProperties"] is False
