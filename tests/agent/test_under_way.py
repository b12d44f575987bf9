"""Drafts are declined by an agent replica that has enough to do, whichever ingress asks."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from serve_app.agent.parts import ReplyPart
from serve_app.agent.speaker import Speaker
from serve_app.agent.under_way import RepliesUnderWay
from serve_app.errors import DraftDeclined, EngineError
from serve_app.fakes.openai import Script as ChatScript
from tests.agent.chains import FORMAT
from tests.agent.speakers import CHAT, NOW_S, speaking

STORY = ChatScript(["Once upon a time, ", "there was a ship. ", "And"], ending="stall")


def two_speakers(speaker: Speaker, replies: RepliesUnderWay) -> tuple[Speaker, Speaker]:
    """For replies and for drafts, as in `deployments/agent.py`."""
    engines = (speaker._llm, speaker._voices, FORMAT)
    return (
        Speaker(*engines, under_way=replies.reply),
        Speaker(*engines, under_way=replies.draft),
    )


async def begun(parts: AsyncGenerator[ReplyPart, None]) -> AsyncGenerator[ReplyPart, None]:
    """The reply, of which the first part has come."""
    async with asyncio.timeout(NOW_S):
        await anext(parts)
    return parts


async def test_drafts_are_declined_while_there_is_enough_to_do() -> None:
    """Each ingress counted its own replies only: ten of them began ten times as many drafts."""
    replies = RepliesUnderWay(enough=2)
    async with speaking(STORY) as (speaker, openai, _):
        writer, drafter = two_speakers(speaker, replies)
        first, second = await begun(writer.reply(CHAT)), await begun(drafter.reply(CHAT))
        with pytest.raises(DraftDeclined):
            await anext(drafter.reply(CHAT))
        assert len(openai.requests) == 2, "nobody is asked for a draft that is declined"
        third = await begun(writer.reply(CHAT))  # the user waits for this one
        for reply in (second, third):
            await reply.aclose()
        again = await begun(drafter.reply(CHAT))
        for reply in (first, again):
            await reply.aclose()
    assert replies.count == 0


async def test_a_reply_that_fails_is_not_under_way_any_more() -> None:
    replies = RepliesUnderWay(enough=1)
    async with speaking(ChatScript(status=401)) as (speaker, _, _):
        writer, drafter = two_speakers(speaker, replies)
        for each in (writer, drafter):
            with pytest.raises(EngineError):
                await anext(each.reply(CHAT))
    assert replies.count == 0


async def test_a_reply_that_nobody_listened_to_was_never_under_way() -> None:
    replies = RepliesUnderWay(enough=1)
    async with speaking(STORY) as (speaker, _, _):
        writer, _ = two_speakers(speaker, replies)
        await writer.reply(CHAT).aclose()
    assert replies.count == 0


async def test_without_drafts_none_is_begun() -> None:
    with pytest.raises(DraftDeclined), RepliesUnderWay(enough=0).draft():
        pass
