"""The page, the whole server and its default models: somebody speaks, and is answered."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.serve.conftest import Server
from tests.speech import TRANSCRIPTS, word_error_rate
from tests.web.chromium import CHROMIUM, Tab, chromium
from tests.web.ears import heard, listen
from tests.web.recordings import recording

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium"),
    *(pytest.mark.browser, pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)),
]

PHASE = "document.body.dataset.phase"
STORY = "Once upon a time there was a king who had three daughters. " * 6


@pytest.fixture
async def tab(server: Server, tmp_path: Path) -> AsyncIterator[Tab]:
    """The page, while a human voice speaks into the agent's long greeting, and once again."""
    flag = recording(tmp_path / "speech.wav", 15.0, "librivox_0870", 40.0)
    async with chromium([flag]) as tab:
        origin = f"http://localhost:{server.port}/"
        await tab.permit(origin, "microphone", "granted")
        await listen(tab)
        await tab.open(origin)
        await tab.evaluate(f"document.querySelector('[name=greeting]').value = '{STORY}'")
        await tab.evaluate("document.querySelector('dialog form').requestSubmit()")
        yield tab
    server.wait_until_idle()


async def test_it_is_understood_interrupts_and_is_answered(server: Server, tab: Tab) -> None:
    words = "[...document.querySelectorAll('#transcript .{} p')].map(e => e.innerText)"
    await tab.click("#talk")
    await tab.until(f"{PHASE} === 'speaking'", 60)
    await tab.until(f"({words.format('user')}).length === 1", 90)
    await tab.until(f"({words.format('agent')}).length === 2 && {PHASE} === 'listening'", 90)
    (said,) = await tab.evaluate(words.format("user"))
    assert word_error_rate(TRANSCRIPTS["librivox_0870"], said) <= 0.1
    ears = await heard(tab)
    onset_ms = ears.onset_ms("mic")
    assert ears.onset_ms("out") < onset_ms, "the agent was speaking"
    assert ears.silent_from_ms(onset_ms) - onset_ms < 300
    answered_ms = ears.onset_ms("out", after_ms=ears.silent_from_ms(onset_ms))
    assert answered_ms > onset_ms
    assert await tab.evaluate("document.querySelectorAll('#transcript del').length") == 1
    assert await tab.evaluate("document.querySelectorAll('#turns li').length") == 2
    assert tab.console == []
