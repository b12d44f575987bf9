"""Telephone calls at the ingress replica as it is, by a stand-in for Twilio that was written from
its documentation. Only Whisper, the chat model and the voice are a script."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from serve_app.client.speech import trim
from serve_app.protocol.sound import MU_LAW, Ears
from tests.ingress.replica import Replica, replica
from tests.ingress.telephone_caller import (
    SENTENCE,
    as_mu_law,
    heard_by,
    phoning,
    tone_hz,
)
from tests.speech import clip

pytestmark = pytest.mark.timeout(60)

STORY = "Well, that is a long story, and it began a hundred years ago."


def answers(server: Replica, *texts: str) -> None:
    """What the agent says; the last one again and again."""
    server.script.answers.clear()
    server.script.answers.extend(texts)


async def test_the_agent_greets_who_calls() -> None:
    async with replica() as server, phoning(server.address, greeting="Good day.") as call:
        await call.until("mark")
        media = await call.until("media")
        assert media["streamSid"] == call.got[0]["streamSid"]
        await call.has_played(len("Good day.") / 15)
    assert tone_hz(heard_by(call)) == pytest.approx(220, abs=10)
    assert server.script.chats == [], "its words were given"


async def test_a_spoken_turn_is_answered() -> None:
    async with replica() as server, phoning(server.address, prompt="Be brief.") as call:
        answers(server, "Hello.", "It is noon.")
        server.script.heard = "What time is it?"
        await call.has_played(len("Hello.") / 15)
        await call.say()
        await call.has_played(len("Hello.It is noon.") / 15)
        await call.socket.send(call.twilio.stop())
        assert await call.ending() == (1000, "bye")
    system, *_, user = server.script.chats[-1]
    assert system.content == "Be brief." and user.content == "What time is it?"


async def test_a_barge_in_clears_what_was_not_heard() -> None:
    async with replica() as server, phoning(server.address) as call:
        answers(server, STORY, "Stopped.")
        server.script.heard = "Please stop talking now."
        await call.has_played(1.0)
        await call.say()
        await call.until("clear")
        await call.has_played(1.5)
    *_, agent, user = server.script.chats[-1]
    assert user.content == "Please stop talking now."
    assert agent.role == "assistant" and STORY.startswith(agent.content)
    assert 0 < len(agent.content) < len(STORY) - 10, "a clear returns all marks: they do not count"


async def test_the_history_holds_what_the_marks_say_was_heard() -> None:
    """By the server's own clock it would be more."""
    async with replica() as server, phoning(server.address, greeting=STORY) as call:
        answers(server, "Five.")
        call.plays.clear()
        await call.until("media", 5)
        await call.send_back("1")
        await call.press("5#")
        await call.until("clear")
        call.plays.set()
        await call.has_played(0.2)
    agent, user = server.script.chats[-1][-2:]
    assert user.content == "[Keys pressed on the telephone: 5#]"
    half_a_second = STORY[: int(0.5 * 15)]
    assert half_a_second.startswith(agent.content) and agent.content == "Well,"


def lossy(messages: Sequence[str]) -> list[str]:
    """One in 30 is lost, one in ten comes later than up to three others, one in ten twice."""
    chance = random.Random(7)
    arrivals: list[tuple[float, str]] = []
    for number, message in enumerate(messages):
        held_up = chance.uniform(1, 3) if chance.random() < 0.1 else 0
        copies = (chance.random() >= 1 / 30) * (1 + (chance.random() < 0.1))
        arrivals += [(number + held_up, message)] * copies
    return [message for _, message in sorted(arrivals, key=lambda arrival: arrival[0])]


async def test_a_bad_line_leaves_speech_in_its_place() -> None:
    async with replica() as server, phoning(server.address, greeting="false") as call:
        answers(server, "Noon.")
        server.script.heard = "What time is it?"
        await call.say(network=lossy)
        await call.has_played(len("Noon.") / 15)
    heard = np.concatenate([frames.reshape(-1) for frames in server.script.microphone])
    sent = Ears(MU_LAW).hear(as_mu_law(trim(clip(SENTENCE))))
    assert len(heard) >= len(sent)
    assert 0.9 < np.mean(heard[: len(sent)] == sent) < 1, "all but what was lost"


async def test_a_call_that_finds_no_place_is_told_so_by_the_close_frame() -> None:
    async with (
        replica(ingress={"max_sessions": 1}) as server,
        phoning(server.address) as first,
    ):
        await first.until("media")
        async with phoning(server.address) as second:
            code, reason = await second.ending()
            assert code == 1013 and "all sessions are taken" in reason
