"""OpenAI's Realtime protocol at the ingress replica as it is, spoken by OpenAI's own client. Only
Whisper, the chat model and the voice are a script."""

from typing import Any

import numpy as np
import pytest

from serve_app.client.speech import trim
from serve_app.conversation.calls import Call, Step
from tests.ingress.realtime_caller import SENTENCE, calling
from tests.ingress.replica import Replica, replica
from tests.speech import clip

pytestmark = pytest.mark.timeout(60)

STORY = "Well, that is a long story, and it began a hundred years ago."


def answers(server: Replica, *texts: str) -> None:
    """What the agent says; the last one again and again."""
    server.script.answers.clear()
    server.script.answers.extend(texts)


async def test_a_typed_turn_is_answered_with_a_voice() -> None:
    async with replica() as server, calling(server.address) as caller:
        answers(server, "It is noon.")
        assert (await caller.until("session.created"))["session"]["type"] == "realtime"
        await caller.send.session.update(
            session={"type": "realtime", "instructions": "Tell the time."}
        )
        updated = await caller.until("session.updated")
        assert updated["session"]["instructions"] == "Tell the time."
        await caller.write("What time is it?")
        done = await caller.until("response.done")
    system, user = server.script.chats[0]
    assert system.content == "Tell the time." and user.content == "What time is it?"
    assert done["response"]["status"] == "completed"
    assert done["response"]["output"][0]["content"][0]["transcript"] == "It is noon."
    assert float(done["response"]["metadata"]["tts_ms"]) >= 0
    pcm = np.frombuffer(caller.sound, "<i2")
    assert len(pcm) == pytest.approx(24_000 * len("It is noon.") / 15, abs=2)
    assert np.abs(np.fft.rfft(pcm)).argmax() * 24_000 / len(pcm) == pytest.approx(220, abs=3)


async def test_a_spoken_turn_is_transcribed_and_answered() -> None:
    async with replica() as server, calling(server.address) as caller:
        server.script.heard = "What time is it?"
        answers(server, "Noon.")
        await caller.say()
        done = await caller.until("response.done")
    assert done["response"]["status"] == "completed"
    assert float(done["response"]["metadata"]["endpoint_ms"]) > 0
    of_the_user = [type_ for type_ in caller.types if not type_.startswith("response.")]
    assert of_the_user == [
        "session.created",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    heard = np.concatenate([samples.reshape(-1) for samples in server.script.microphone])
    as_recorded = trim(clip(SENTENCE))[: len(heard)]
    likeness = max(
        np.corrcoef(heard[delay : len(as_recorded)], as_recorded[: len(as_recorded) - delay])[0, 1]
        for delay in range(64)
    )
    assert likeness > 0.99, "what is heard is what was said"


async def test_a_barge_in_cancels_the_response() -> None:
    async with replica() as server, calling(server.address) as caller:
        answers(server, STORY, "Stopped.")
        server.script.heard = "Please stop talking now."
        await caller.write("Tell me a story.")
        await caller.until("response.output_audio.delta")
        await caller.say()
        await caller.until("input_audio_buffer.speech_started")
        cancelled = await caller.until("response.done")
        truncated = await caller.until("conversation.item.truncated")
        transcribed = await caller.until("conversation.item.input_audio_transcription.completed")
        answered = await caller.until("response.done")
    assert cancelled["response"]["status_details"]["reason"] == "turn_detected"
    assert truncated["item_id"] == cancelled["response"]["output"][0]["id"]
    whole = cancelled["response"]["output"][0]["content"][0]["transcript"]
    assert whole.startswith(truncated["transcript"])
    assert transcribed["transcript"] == "Please stop talking now."
    assert answered["response"]["output"][0]["content"][0]["transcript"] == "Stopped."


async def test_the_agent_is_stopped_by_its_client() -> None:
    async with replica() as server, calling(server.address) as caller:
        answers(server, STORY)
        await caller.write("Tell me a story.")
        await caller.until("response.output_audio.delta")
        await caller.send.response.cancel()
        done = await caller.until("response.done")
        assert done["response"]["status_details"]["reason"] == "client_cancelled"
        assert "input_audio_buffer.speech_started" not in caller.types


async def test_the_agent_speaks_first_if_it_is_asked_to() -> None:
    async with replica() as server, calling(server.address) as caller:
        answers(server, "Hello.")
        await caller.send.response.create()
        done = await caller.until("response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == "Hello."


async def test_the_client_runs_a_tool_and_the_agent_goes_on() -> None:
    look: Any = {"type": "function", "name": "look", "parameters": {"type": "object"}}
    async with replica() as server, calling(server.address) as caller:
        answers(server, "It is a cup.")
        await caller.send.session.update(session={"type": "realtime", "tools": [look]})
        server.script.calls.append(Step((Call("call1", "look", "{}"),), (None,)))
        await caller.write("What is on the table?")
        asked = await caller.until("response.function_call_arguments.done")
        await caller.until("response.done")
        await caller.send.conversation.item.create(
            item={"type": "function_call_output", "call_id": asked["call_id"], "output": "a cup"}
        )
        await caller.send.response.create()
        done = await caller.until("response.done")
    assert [tool.name for tool in server.script.offers[0].tools] == ["look"]
    assert done["response"]["output"][0]["content"][0]["transcript"] == "It is a cup."
    call, result = server.script.chats[1][-2:]
    assert (call.role, call.calls[0].name) == ("assistant", "look")
    assert (result.role, result.call_id, result.content) == ("tool", call.calls[0].id, "a cup")


async def test_push_to_talk() -> None:
    async with replica() as server, calling(server.address) as caller:
        server.script.heard = "What time is it?"
        answers(server, "Noon.")
        push: Any = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        await caller.send.session.update(session=push)
        await caller.say()
        await caller.send.input_audio_buffer.commit()
        committed = await caller.until("input_audio_buffer.committed")
        await caller.send.response.create()
        words = await caller.until("conversation.item.input_audio_transcription.completed")
        done = await caller.until("response.done")
    assert words["item_id"] == committed["item_id"] and words["transcript"] == "What time is it?"
    assert done["response"]["output"][0]["content"][0]["transcript"] == "Noon."
    assert not [type_ for type_ in caller.types if "speech" in type_ or type_ == "error"]


async def test_a_turn_that_is_answered_on_request() -> None:
    async with replica() as server, calling(server.address) as caller:
        server.script.heard = "What time is it?"
        answers(server, "Noon.")
        detection = {"type": "semantic_vad", "create_response": False}
        session: Any = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
        await caller.send.session.update(session=session)
        await caller.say()
        await caller.until("conversation.item.input_audio_transcription.completed")
        assert "response.created" not in caller.types and not server.script.chats
        await caller.send.response.create()
        done = await caller.until("response.done")
    assert done["response"]["output"][0]["content"][0]["transcript"] == "Noon."


async def test_an_answer_in_text() -> None:
    async with replica() as server, calling(server.address) as caller:
        answers(server, "It is *noon*.")
        await caller.send.session.update(
            session={"type": "realtime", "output_modalities": ["text"]}
        )
        await caller.write("What time is it?")
        done = await caller.until("response.done")
    assert done["response"]["output"][0]["content"][0]["text"] == "It is *noon*."
    assert not [type_ for type_ in caller.types if "audio" in type_]


async def test_a_wrong_event_is_answered_and_the_session_goes_on() -> None:
    async with replica() as server, calling(server.address) as caller:
        answers(server, "Here.")
        await caller.send.input_audio_buffer.commit(event_id="mine")
        error = (await caller.until("error"))["error"]
        assert (error["code"], error["event_id"]) == ("unsupported_event", "mine")
        await caller.write("Are you there?")
        await caller.until("response.done")


async def test_who_is_refused_at_the_door_is_told_why() -> None:
    async with replica(ingress={"max_sessions": 1}) as server, calling(server.address) as first:
        answers(server, "Hello.")
        await first.send.response.create()
        await first.until("response.created")
        async with calling(server.address) as second:
            assert (await second.until("error"))["error"]["code"] == "at_capacity"
