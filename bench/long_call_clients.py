"""Clients of the long call: they speak, type, interrupt, fall silent, and lose their sockets."""

import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from websockets.exceptions import ConnectionClosed

from bench import providers
from bench.phrases import BARGE_IN_CLIPS, CLIPS, whole
from bench.user import User
from serve_app.client.session import EchoSession, converse
from serve_app.protocol.formats import parse_format

_FORMAT = parse_format("pcm_44100")
_STAGGER_S = 0.8
_PAUSES_S = (0.5, 3.0)
"""Between the end of an answer and what the user does next."""
_LONG_PAUSES_S = (8.0, 20.0)
_ANSWER_WITHIN_S = 30.0
_HEARD_S = 1.0
"""How much of a reply is heard before its socket is lost."""
_AGAIN_S = 2.0
"""After a session that was lost."""
_WEIGHTS = {"speak": 50, "type": 15, "interrupt": 15, "be silent": 10, "lose the socket": 10}
"""How often the user does what."""


@dataclass
class Tally:
    """What happened to all clients."""

    turns: Counter[str] = field(default_factory=Counter)
    """By what the user did."""
    unanswered: int = 0
    not_interrupted: int = 0
    """Barge-ins that the agent talked over."""
    errors: Counter[str] = field(default_factory=Counter)
    """`error` messages, by stage."""
    stale_chunks: int = 0
    sessions: int = 0
    resumes: int = 0
    close_codes: Counter[int] = field(default_factory=Counter)
    """Of the sockets that were not closed by the client."""
    lost: Counter[str] = field(default_factory=Counter)
    """Sessions that ended before the client wanted, by reason."""

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {name: dict(value) if isinstance(value, Counter) else value
                for name, value in vars(self).items()}  # fmt: skip


class Client:
    """One place: a session, and another one if that should be lost."""

    def __init__(self, url: str, number: int, ends_at_s: float, tally: Tally) -> None:
        self._url = url
        self._number = number
        self._ends_at_s = ends_at_s
        self._tally = tally
        self._random = random.Random(number)
        self._typed = count(1)
        self._clips = count(number)

    async def run(self) -> None:
        await asyncio.sleep(self._number * _STAGGER_S)
        while time.monotonic() < self._ends_at_s:
            try:
                await self._call()
            except (ConnectionClosed, OSError, TimeoutError) as error:
                reason = f"{type(error).__name__}: {error}"
                self._tally.lost[reason] += 1
                print(f"  client {self._number}: {reason}", file=sys.stderr, flush=True)
                await asyncio.sleep(_AGAIN_S)

    async def _call(self) -> None:
        """One session, to the end of the benchmark."""
        async with converse(self._url, _FORMAT, resume=True) as session:
            self._tally.sessions += 1
            user = User(session)
            try:
                await user.open(providers.PROMPT)
                await user.hear_greeting()
                while time.monotonic() < self._ends_at_s:
                    await asyncio.sleep(self._random.uniform(*_PAUSES_S))
                    await self._do(session, user)
                    self._account(session)
            finally:
                self._account(session)
                self._tally.resumes += session.resumes
                if session.listener.done():
                    self._tally.close_codes[session.close_code or 0] += 1

    async def _do(self, session: EchoSession, user: User) -> None:
        (what,) = self._random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        self._tally.turns[what] += 1
        match what:
            case "speak":
                name = CLIPS[next(self._clips) % len(CLIPS)]
                turn = await user.turn(whole(name), pause_s=0.0)
                self._tally.unanswered += turn.first_audio_ms is None
            case "type":
                await self._type(session)
                await user.hear_greeting()
            case "interrupt":
                await self._type(session)
                name = BARGE_IN_CLIPS[next(self._clips) % len(BARGE_IN_CLIPS)]
                self._tally.not_interrupted += await user.barge_in(name) is None
                await user.hear_greeting()
            case "be silent":
                await asyncio.sleep(self._random.uniform(*_LONG_PAUSES_S))
            case "lose the socket":
                await self._type(session)
                await asyncio.sleep(_HEARD_S)
                await session.lose_connection()
                await session.next("session", timeout_s=_ANSWER_WITHIN_S)
                await user.hear_greeting()

    async def _type(self, session: EchoSession) -> None:
        """Returns with the first audio of the answer."""
        text = f"This is what user {self._number} types in turn {next(self._typed)}."
        await session.send({"type": "text", "text": text})
        while (await session.next("transcript", timeout_s=_ANSWER_WITHIN_S)).fields["text"] != text:
            pass
        await session.next("audio", timeout_s=_ANSWER_WITHIN_S)

    def _account(self, session: EchoSession) -> None:
        """Adds up what has come, and forgets it: all audio of an hour would not fit."""
        errors = (m.fields["stage"] for m in session.forget() if m.kind == "error")
        self._tally.errors.update(errors)
        self._tally.stale_chunks += session.playback.stale_chunks
        session.playback.stale_chunks = 0


async def talk(url: str, sessions: int, seconds: float, tally: Tally) -> None:
    """All clients, for so long."""
    ends_at_s = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(sessions):
            group.create_task(Client(url, number, ends_at_s, tally).run())
