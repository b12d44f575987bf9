"""An ingress replica in virtual time: the real driver, machine, leases and batcher, in front of
replicas that are functions here."""

import asyncio
import logging
from random import Random
from typing import Any

from bench.virtual_luck import Luck
from bench.virtual_replicas import Actors, Agent, Speech, Transcriber, Vad
from serve_app.conversation.settings import TurnSettings
from serve_app.ingress.calls import Calls
from serve_app.ingress.load import Load
from serve_app.ingress.services import Services
from serve_app.ingress.voice_activity import VoiceActivityBatcher
from serve_app.protocol.messages import Open
from serve_app.sessions.actors import SessionActors
from serve_app.sessions.leases import Leases
from serve_app.settings.schema import AppConfig

_WINDOW_S = 120.0


class Ingress:
    """A replica with what its sessions share."""

    def __init__(self, random: Random, luck: Luck, speech: Speech, settings: TurnSettings) -> None:
        self.settings = settings
        self.luck = luck
        self.actors = Actors(luck, _WINDOW_S)
        self.agent = Agent(luck, random, needs_tool=0.2)
        handles: list[Any] = [Vad(luck, speech, random), Transcriber(luck, speech), self.agent]
        load = Load()
        calls = Calls(AppConfig(), *handles, load)
        actors = SessionActors(1, handles=self.actors)
        self.services = Services(
            calls,
            VoiceActivityBatcher(calls.detect, load, asyncio.get_running_loop().time),
            actors,
            Leases(actors),
            window_s=_WINDOW_S,
            check=_whatever_it_asks,
        )
        self.loops = [
            asyncio.create_task(self.services.batcher.run()),
            asyncio.create_task(self.services.leases.run()),
        ]

    async def close(self) -> None:
        for loop in self.loops:
            loop.cancel()
        await asyncio.gather(*self.loops, return_exceptions=True)


async def _whatever_it_asks(message: Open) -> Open:
    return message


class Complaints(logging.Handler):
    """Exceptions that the server has caught and logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))
