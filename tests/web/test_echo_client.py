"""Echo's clients work unchanged, in a real browser."""

import asyncio
from pathlib import Path

import pytest

from tests.web.chromium import chromium
from tests.web.ears import heard, listen
from tests.web.recordings import recording
from tests.web.small_server import serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

STORY = "Once upon a time there was a king. " * 8


async def test_a_page_like_echos_example_converses_and_interrupts(tmp_path: Path) -> None:
    flag = recording(tmp_path / "speech.wav", 4.0, "librivox_0870", 3.0, "go_forward", 10.0)
    async with serving() as server, chromium([flag]) as tab:
        server.script.answers += [STORY, "All right.", "I have no legs."]
        server.script.heard = "Please stop there."
        await tab.permit(server.url, "microphone", "granted")
        await listen(tab)
        await tab.open(f"{server.url}echo-client")
        await tab.evaluate("window.ready")
        await tab.evaluate("window.start()")
        await tab.until("log.filter(([way, what]) => what === 'interrupt').length === 1")
        ears_then = await heard(tab)
        await tab.until(
            "log.slice(log.findIndex(([, what]) => what === 'interrupt'))"
            ".some(([way, what]) => way === 'got' && what === 'audio')"
        )
        server.script.heard = "Go forward."
        async with asyncio.timeout(40):
            while server.script.chats[-1][-1].content != "Go forward.":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await tab.evaluate("log.push(['', 'answered'])")
        await tab.until(
            "log.slice(log.findIndex(([, what]) => what === 'answered'))"
            ".some(([, what]) => what === 'state')"
        )
        log = await tab.evaluate("log")
        ears = await heard(tab)
        stalled = await tab.evaluate("window.stalled ?? 0")
        assert tab.console == []
    got = {what for way, what in log if way == "got"}
    assert got == {"token", "audio", "interrupt"}, "no extension is sent to who asked for none"
    assert stalled == 0, "no audio came with a token that was not announced"
    assert ears_then.seconds_loud() > 1 and ears.seconds_loud() > ears_then.seconds_loud()
    told = [one.content for one in server.script.chats[-1] if one.role == "user"]
    assert told == ["Hello!", "Please stop there.", "Go forward."]
