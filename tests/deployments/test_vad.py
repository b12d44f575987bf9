"""The shell around the VAD."""

import asyncio
from threading import Event

import pytest

from deployments.vad import VoiceActivity
from serve_app.settings.schema import VadSettings
from serve_app.vad.jobs import VadAnswer, VadJob

pytestmark = pytest.mark.models


async def test_a_call_that_is_cancelled_stops_its_work() -> None:
    begun, ended = asyncio.Event(), Event()
    loop = asyncio.get_running_loop()

    def detect(jobs: list[VadJob], abandoned: Event) -> list[VadAnswer]:
        loop.call_soon_threadsafe(begun.set)
        if abandoned.wait(20):
            ended.set()
        return []

    vad = VoiceActivity(VadSettings(end_of_turn="off"))
    vad._engine.detect = detect  # type: ignore[method-assign, assignment]
    call = asyncio.create_task(vad.detect([]))
    await begun.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert await asyncio.to_thread(ended.wait, 20)
