"""The page in Firefox, which differs where the microphone is concerned: it refuses a context with
another rate than the device's."""

import numpy as np
import pytest

from tests.web.ears import EARS, LOUD
from tests.web.firefox import FIREFOX, PULSEAUDIO, TONE_HZ, firefox
from tests.web.small_server import serving

pytestmark = [
    pytest.mark.skipif(
        not (FIREFOX and PULSEAUDIO), reason="no Firefox: apt-get install firefox-esr pulseaudio"
    ),
    pytest.mark.timeout(180),
]

PHASE = "document.body.dataset.phase"
WORDS = "document.querySelector('#transcript').innerText"
_PITCH_HZ = 15


async def test_it_speaks_listens_and_takes_what_is_typed() -> None:
    async with serving() as server, firefox() as tab:
        server.script.answers += ["Hello! What can I do for you?", "I am glad to hear it."]
        await tab.before_scripts(EARS)
        await tab.open(server.url)
        await tab.evaluate("document.querySelector('#talk').click()")
        await tab.until(f"{PHASE} === 'speaking'", 60)
        await tab.until(f"{PHASE} === 'listening' && {WORDS}.includes('do for you?')", 60)
        out = np.array(await tab.evaluate("window.ears.map(([at, out]) => out)"))
        assert (out > LOUD).sum() > 50, "the greeting was heard"
        await tab.evaluate("document.querySelector('#text').value = 'I am well.'")
        await tab.evaluate("document.querySelector('#compose').requestSubmit()")
        await tab.until(f"{WORDS}.includes('glad to hear it') && {PHASE} === 'listening'", 60)
        sound = np.concatenate(server.script.microphone)
    assert len(sound) > 3 * 16_000
    spectrum = np.abs(np.fft.rfft(sound[-32_000:]))
    assert np.argmax(spectrum) / 2 == pytest.approx(TONE_HZ, abs=_PITCH_HZ)
