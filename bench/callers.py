"""The callers of the capacity benchmark: some have a conversation, some say nothing."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache

from websockets.exceptions import ConnectionClosed

from bench import providers
from bench.phrases import whole
from bench.user import Turn, User
from serve_app.client.session import converse
from serve_app.client.speech import trim
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.formats import parse_format
from tests.speech import clip

CLIPS = ("librivox_0890", "librivox_0930", "go_forward")
"""2 to 5 s long. They sound finished; the server waits after one that does not, which would hide
other delays."""
PAUSE_S = (1.0, 3.0)
"""Between the end of an answer and the next words: a person thinks for this long."""
_FORMAT = parse_format("pcm_44100")
_RAMP_S = 8.0
"""Within this time everybody calls."""
_STAGGER_S = 0.8
_CALM_S = 4.0
"""From the last call until the measurement begins."""
_SEED = 1


@dataclass(frozen=True, slots=True)
class Said:
    """A clip, and what followed it."""

    clip: str
    turn: Turn


@dataclass(slots=True)
class Call:
    """What happened in one session."""

    said: list[Said] = field(default_factory=list)
    """Within the window."""
    spoken_s: float = 0.0
    """How long the user spoke, from the first word to the end of the call."""
    heard_s: float = 0.0
    """How long the agent spoke in that time."""
    lasted_s: float = 0.0
    stale_chunks: int = 0
    lost: str = ""
    """Why the session ended too early; a refusal counts."""


class Window:
    """The time that is measured: so many seconds, beginning when everybody is there."""

    def __init__(self, sessions: int, seconds: float) -> None:
        self._between_s = min(_STAGGER_S, _RAMP_S / sessions)
        self._opens_at_s = time.monotonic() + sessions * self._between_s + _CALM_S
        self._closes_at_s = self._opens_at_s + seconds

    async def my_turn(self, number: int) -> None:
        """Waits until this session is to call."""
        await asyncio.sleep(number * self._between_s)

    async def opened(self) -> None:
        await asyncio.sleep(self._opens_at_s - time.monotonic())

    async def closed(self) -> None:
        await asyncio.sleep(self._closes_at_s - time.monotonic())

    @property
    def is_open(self) -> bool:
        return self._opens_at_s <= time.monotonic() < self._closes_at_s

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._closes_at_s


Visit = Callable[[str, int, Window, Call], Awaitable[None]]


async def call(url: str, number: int, window: Window, visit: Visit) -> Call:
    """One session, to its end."""
    result = Call()
    await window.my_turn(number)
    try:
        await visit(url, number, window, result)
    except (ConnectionClosed, OSError, TimeoutError) as error:
        result.lost = f"{type(error).__name__}: {error}"
    return result


async def talk(url: str, number: int, window: Window, result: Call) -> None:
    """Speaks, hears the answer to its end, thinks, and speaks again."""
    rng = random.Random(_SEED + number)
    async with converse(url, _FORMAT) as session:
        user = User(session)
        await user.open(providers.PROMPT)
        await user.hear_greeting()
        began_s, greeting = time.monotonic(), len(session.playback.heard)
        at = number
        while not window.is_over:
            await asyncio.sleep(rng.uniform(*PAUSE_S))
            name, counts = CLIPS[at % len(CLIPS)], window.is_open
            turn = await user.turn(whole(name), pause_s=0.0)
            result.spoken_s += _seconds(name)
            result.said += [Said(name, turn)] if counts else []
            at += 1
        result.lasted_s = time.monotonic() - began_s
        result.heard_s = _FORMAT.seconds(len(session.playback.heard) - greeting)
        result.stale_chunks = session.playback.stale_chunks


@cache
def _seconds(name: str) -> float:
    return len(trim(clip(name))) / SAMPLE_RATE_HZ


async def say_nothing(url: str, number: int, window: Window, result: Call) -> None:
    """An open microphone, in a silent room."""
    async with converse(url, _FORMAT) as session:
        await session.open(providers.PROMPT, greeting=False)
        await asyncio.wait(
            {session.listener, closing := asyncio.create_task(window.closed())},
            return_when=asyncio.FIRST_COMPLETED,
        )
        closing.cancel()
        if session.listener.done():
            result.lost = str(session.listener.exception() or session.close_code)
