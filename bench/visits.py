"""Calls to a server: some have a conversation, some only interrupt. All play in real time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from bench import providers
from bench.exchanges import Exchange, exchanges
from bench.phrases import BARGE_IN_CLIPS, Phrase, phrases
from bench.user import BargeIn, Turn, User
from serve_app.client.session import converse
from serve_app.protocol.formats import AudioFormat

T = TypeVar("T")

_STAGGER_S = 0.8
"""Between the starts of two sessions: an eighth of a turn, so that eight do not speak at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What each caller does."""

    turns: int
    """Phrases without a pause inside."""
    paused: int
    """Phrases with one."""
    barge_ins: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What all callers heard."""

    exchanges: list[Exchange]
    barge_ins: list[BargeIn | None]
    stale_chunks: int


Visit = Callable[[int], Awaitable[tuple[list[T], int]]]
"""What a caller does: gets its number, returns its measurements and the number of stale chunks."""
_Call = tuple[str, list[tuple[Phrase, Turn]]]
"""Its prompt, and what was said."""


async def talked(
    url: str, audio_format: AudioFormat, name: str, sessions: int, plan: Plan
) -> tuple[list[_Call], int]:
    """So many callers at once have a conversation with short answers; `name` is that of no other
    run with the same providers."""

    async def talk(number: int) -> tuple[list[_Call], int]:
        prompt = providers.call_prompt(f"{name}/{number}")
        async with converse(url, audio_format) as session:
            user = User(session)
            await user.open(prompt)
            await user.hear_greeting()
            said = phrases(number, plan.turns, plan.paused)
            turns = [(phrase, await user.turn(phrase)) for phrase in said]
            return [(prompt, turns)], session.playback.stale_chunks

    return await _at_once(sessions, talk)


async def interrupted(
    url: str, audio_format: AudioFormat, sessions: int, plan: Plan
) -> tuple[list[BargeIn | None], int]:
    """So many callers at once get long replies, none of which they hear to its end."""

    async def interrupt(number: int) -> tuple[list[BargeIn | None], int]:
        async with converse(url, audio_format) as session:
            user = User(session)
            await user.open(providers.STORY_PROMPT)
            clips = [
                BARGE_IN_CLIPS[(number + i) % len(BARGE_IN_CLIPS)] for i in range(plan.barge_ins)
            ]
            return [await user.barge_in(name) for name in clips], session.playback.stale_chunks

    return await _at_once(sessions, interrupt)


def all_exchanges(calls: Sequence[_Call], asked: Sequence[providers.Asked]) -> list[Exchange]:
    """The turns of all calls."""
    return list(chain(*(exchanges(said, asked, prompt) for prompt, said in calls)))


async def _at_once(sessions: int, visit: Visit[T]) -> tuple[list[T], int]:
    """The measurements of all sessions, and the sum of their stale chunks."""

    async def staggered(number: int) -> tuple[list[T], int]:
        await asyncio.sleep(number * _STAGGER_S)
        return await visit(number)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(staggered(number)) for number in range(sessions)]
    measured = [task.result() for task in tasks]
    return list(chain(*(results for results, _ in measured))), sum(stale for _, stale in measured)
