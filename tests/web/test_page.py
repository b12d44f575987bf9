"""The page in a real browser, with real sockets and a scripted agent."""

import asyncio
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.web.chromium import Tab, chromium
from tests.web.ears import heard, listen
from tests.web.recordings import Part, recording
from tests.web.small_server import SmallServer, serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

GREETING = "Hello! What can I do for you?"
STORY = "Once upon a time there was a king. " * 8
STOPPED_WITHIN_MS = 300
PHASE = "document.body.dataset.phase"
WORDS = "document.querySelector('#transcript').innerText"
NOTICE = "(e => e.hidden ? '' : e.innerText)(document.querySelector('#notice'))"


@asynccontextmanager
async def page(
    tmp_path: Path, *speech: Part, microphone: str = "granted"
) -> AsyncIterator[tuple[Tab, SmallServer]]:
    """The page in a browser whose microphone plays this."""
    flag = recording(tmp_path / "speech.wav", *(speech or (1.0,)))
    async with serving() as server, chromium([flag]) as tab:
        server.script.answers.append(GREETING)
        server.script.heard = "Go forward ten meters."
        await tab.permit(server.url, "microphone", microphone)
        await tab.look(1280, 800, is_dark=False)
        await listen(tab)
        await tab.open(server.url)
        yield tab, server
        assert tab.console == []


async def test_a_spoken_conversation(tmp_path: Path) -> None:
    async with page(tmp_path, 4.0, "go_forward", 8.0) as (tab, server):
        server.script.answers.append("I have no legs.")
        await tab.click("#talk")
        await tab.until(f"{PHASE} === 'speaking'")
        await tab.until(f"{PHASE} === 'listening'")
        await tab.until(f"{PHASE} === 'hearing'")
        await tab.until(f"{WORDS}.includes('I have no legs.') && {PHASE} === 'listening'")
        assert (await tab.evaluate(WORDS)).split("\n\n") == [
            "Agent", GREETING, "You", "Go forward ten meters.", "Agent", "I have no legs.",
        ]  # fmt: skip
        loud_s = (await heard(tab)).seconds_loud()
        expected_s = len(GREETING + "I have no legs.") / 15
        assert loud_s == pytest.approx(expected_s, abs=0.4)
        turns = await tab.evaluate(
            "[...document.querySelectorAll('#turns li')].map(e => e.innerText)"
        )
        assert len(turns) == 2 and "Turn 1" in turns[0] and "Greeting" in turns[1]
        bars = await tab.evaluate(
            "[...document.querySelectorAll('#turns details[open] p .bar')]"
            ".map(e => e.getBoundingClientRect().width)"
        )
        assert len(bars) == 5 and bars[0] > 50 and all(width >= 2 for width in bars)
        await tab.click("#talk")
        await tab.until(f"{PHASE} === 'idle'")
        assert await tab.evaluate(NOTICE) == ""


async def test_a_barge_in_is_silent_at_once_and_strikes_out_what_was_not_heard(
    tmp_path: Path,
) -> None:
    async with page(tmp_path, 5.0, "librivox_0870", 20.0) as (tab, server):
        server.script.answers[0] = STORY
        server.script.answers.append("All right.")
        await tab.click("#talk")
        await tab.until(f"{WORDS}.includes('All right.')")
        ears = await heard(tab)
        onset_ms = ears.onset_ms("mic")
        late_ms = ears.silent_from_ms(onset_ms) - onset_ms
        assert ears.onset_ms("out") < onset_ms, "the agent was speaking"
        assert late_ms < STOPPED_WITHIN_MS
        struck = await tab.evaluate("document.querySelector('#transcript del').innerText")
        said = await tab.evaluate("document.querySelector('#transcript li p').innerText")
        assert struck and said.endswith(struck) and STORY.startswith(said)
        history = server.script.chats[-1]
        told = next(one.content for one in history if one.role == "assistant")
        assert f"{told} {struck}" == said, "what is not struck out is what the agent remembers"


async def test_a_yeah_does_not_cost_a_word(tmp_path: Path) -> None:
    """The loudspeaker gives way for a moment, then the same reply goes on."""
    async with page(tmp_path, 4.0, ("go_forward", 0.3), 20.0) as (tab, server):
        server.script.answers[0] = STORY
        server.script.heard = "Yeah."
        await tab.click("#talk")
        await tab.until(f"{PHASE} === 'hearing'")
        await tab.until(f"{PHASE} === 'listening'", timeout_s=60)
        assert await tab.evaluate("document.querySelectorAll('#transcript del').length") == 0
        ears = await heard(tab)
        said = await tab.evaluate("document.querySelector('#transcript .agent p').innerText")
        assert said == STORY.strip(), "one reply, each word once"
        assert ears.seconds_loud() == pytest.approx(len(STORY) / 15, abs=0.5)


async def test_a_typed_conversation_needs_no_microphone(tmp_path: Path) -> None:
    async with page(tmp_path, microphone="denied") as (tab, _):
        await tab.click("#text")
        await tab.type("What is your name?")
        await tab.press("Enter", "\r")
        await tab.until(f"{WORDS}.includes('Hello!') && {PHASE} === 'listening'")
        assert (await tab.evaluate(WORDS)).startswith("You\n\nWhat is your name?\n\nAgent")
        assert await tab.evaluate("document.querySelector('#text').value") == ""
        assert await tab.evaluate("document.querySelector('#mute').hidden")
        assert (await heard(tab)).seconds_loud() > 1


async def test_a_typed_conversation_can_go_on_with_the_microphone(tmp_path: Path) -> None:
    async with page(tmp_path, 2.0, "go_forward", 8.0) as (tab, server):
        await tab.click("#text")
        await tab.type("Hello?")
        await tab.press("Enter", "\r")
        await tab.until(f"{WORDS}.includes('do for you?') && {PHASE} === 'listening'")
        assert not server.script.microphone
        await tab.click("#add-microphone")
        await tab.until(f"{WORDS}.includes('ten meters')")


async def test_it_can_be_given_up_before_it_has_begun(tmp_path: Path) -> None:
    async with page(tmp_path) as (tab, server):
        await tab.evaluate(
            "document.querySelector('#talk').click(), document.querySelector('#talk').click()"
        )
        await tab.until(f"{PHASE} === 'idle'")
        await tab.click("#talk")
        await tab.until(f"{PHASE} === 'speaking'")
        assert server.live == 1


async def test_escape_stops_the_agent(tmp_path: Path) -> None:
    async with page(tmp_path) as (tab, server):
        server.script.answers[0] = STORY
        await tab.click("#talk")
        await tab.until(f"{PHASE} === 'speaking'")
        await tab.press("Escape")
        await tab.until(f"{PHASE} === 'listening'")
        assert await tab.evaluate("document.querySelectorAll('#transcript del').length") == 1


async def test_a_refused_microphone_is_said_plainly(tmp_path: Path) -> None:
    async with page(tmp_path, microphone="denied") as (tab, server):
        await tab.click("#talk")
        await tab.until(f"{NOTICE}.includes('The microphone is blocked.')")
        assert await tab.evaluate(PHASE) == "idle"
        assert server.sockets == 0


async def test_without_https_it_says_so_and_typing_works(tmp_path: Path) -> None:
    elsewhere = ["--host-resolver-rules=MAP voice.test 127.0.0.1"]
    async with serving() as server, chromium(elsewhere) as tab:
        server.script.answers.append(GREETING)
        await tab.open(server.url.replace("localhost", "voice.test"))
        await tab.until(f"{NOTICE}.includes('HTTPS')")
        await tab.click("#talk")
        await tab.until(f"{NOTICE}.includes('HTTPS') && {PHASE} === 'idle'")
        await tab.click("#text")
        await tab.type("Hello?")
        await tab.press("Enter", "\r")
        await tab.until(f"{WORDS}.includes('do for you?') && {PHASE} === 'listening'")
        assert tab.console == []


async def test_a_full_server_is_said_plainly_and_the_button_tries_again(tmp_path: Path) -> None:
    async with page(tmp_path) as (tab, server):
        server.is_full = True
        await tab.click("#talk")
        await tab.until(f"{NOTICE}.includes('The server is full.')")
        assert await tab.evaluate(PHASE) == "idle"
        server.is_full = False
        await tab.click("#talk")
        await tab.until(f"{PHASE} === 'speaking'")
        assert await tab.evaluate(NOTICE) == ""


async def test_a_lost_server_is_said_plainly_and_the_conversation_goes_on(tmp_path: Path) -> None:
    async with page(tmp_path) as (tab, server):
        server.script.answers.append("Where was I?")
        await tab.click("#talk")
        await tab.until(f"{PHASE} === 'listening' && {WORDS}.includes('you?')")
        await server.lose()
        await tab.until(f"{NOTICE}.includes('The connection to the server is lost.')")
        assert await tab.evaluate(PHASE) == "lost"
        await server.start()
        await tab.until(f"{NOTICE} === '' && {PHASE} === 'listening'")
        await tab.evaluate("document.querySelector('#text').focus()")
        await tab.type("Go on.")
        await tab.press("Enter", "\r")
        await tab.until(f"{WORDS}.includes('Where was I?')")
        assert [one.content for one in server.script.chats[-1]][-2:] == [GREETING, "Go on."]
        tab.console.clear()  # the browser logs each try


async def test_a_lost_reply_goes_on_with_the_first_word_that_was_not_heard(tmp_path: Path) -> None:
    async with page(tmp_path) as (tab, server):
        server.script.answers[0] = STORY[:140]
        await tab.click("#talk")
        await tab.until(f"{WORDS}.includes('king')")
        await server.lose()
        await tab.until(f"{PHASE} === 'lost'")
        await server.start()
        await tab.until(f"{PHASE} === 'listening'")
        said = await tab.evaluate(
            "[...document.querySelectorAll('#transcript p')].map(e => {"
            " e.querySelector('del')?.remove(); return e.innerText.trim(); }).join(' ')"
        )
        assert " ".join(said.split()) == " ".join(STORY[:140].split())
        tab.console.clear()


async def test_another_window_cannot_go_on_with_a_token_that_was_used(tmp_path: Path) -> None:
    async with page(tmp_path) as (tab, server):
        await tab.click("#talk")
        await tab.until(f"{PHASE} === 'listening'")
        await server.lose()
        await tab.until(f"{PHASE} === 'lost'")
        server.forget()
        await server.start()
        await tab.until(f"{NOTICE}.includes('This conversation cannot be continued.')")
        assert await tab.evaluate(PHASE) == "idle"
        tab.console.clear()


async def test_settings_are_kept_and_sent(tmp_path: Path) -> None:
    async with page(tmp_path) as (tab, server):
        await tab.click("#open-settings")
        await tab.evaluate("document.querySelector('[name=prompt]').value = 'You are a pirate.'")
        await tab.evaluate("document.querySelector('[name=greeting]').value = 'Ahoy!'")
        await tab.click("dialog [type=submit]")
        await tab.open(server.url)
        await tab.click("#talk")
        await tab.until(f"{WORDS}.includes('Ahoy!') && {PHASE} === 'listening'")
        await tab.evaluate("document.querySelector('#text').focus()")
        await tab.type("Who are you?")
        await tab.press("Enter", "\r")
        await tab.until(f"{WORDS}.includes('Hello!')")
        chat = server.script.chats[-1]
        said = [one.content for one in chat]
        assert said[0] == "You are a pirate." and said[-2:] == ["Ahoy!", "Who are you?"]


async def test_the_log_and_the_sound_can_be_saved(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    async with page(tmp_path, 4.0, "go_forward", 8.0) as (tab, _):
        await tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        await tab.click("#talk")
        await tab.until(f"{WORDS}.includes('ten meters') && {PHASE} === 'listening'")
        await tab.click("#talk")
        await tab.until(f"{PHASE} === 'idle'")
        for button in ("#save-log", "#save-audio"):
            await tab.click(button)
        log, wav = await _saved(folder, ".jsonl"), await _saved(folder, ".wav")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"at_s", "type"} <= events[0].keys()
    said = [event["text"] for event in events if event["type"] == "transcript"]
    assert said[:2] == [GREETING, "Go forward ten meters."]
    _check_sound(wav)


async def _saved(folder: Path, suffix: str) -> Path:
    """The file, once it is whole: until then the browser adds `.crdownload` to its name."""
    async with asyncio.timeout(10):
        while not (found := list(folder.glob(f"*{suffix}"))):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.05)
    return found[0]


def _check_sound(path: Path) -> None:
    """Left the user, right the agent, each where it was heard."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 24_000)
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    loud = np.abs(pcm.astype(int)) > 1500
    user, agent = (np.flatnonzero(loud[:, side]) / 24_000 for side in (0, 1))
    assert agent[0] < 1.5 and user[0] > 3
    greeted = agent[agent < 3.5]
    assert greeted[-1] - greeted[0] == pytest.approx(len(GREETING) / 15, abs=0.1)


async def test_the_page_asks_nobody_else(tmp_path: Path) -> None:
    async with page(tmp_path) as (tab, server):
        await tab.click("#talk")
        await tab.until(f"{PHASE} === 'speaking'")
        hosts = {url.split("/")[2] for url in tab.requests if not url.startswith("blob:")}
        assert hosts == {f"localhost:{server.port}"}


async def test_it_can_be_used_by_keyboard(tmp_path: Path) -> None:
    async with page(tmp_path) as (tab, _):
        for _ in range(10):
            await tab.press("Tab")
            if await tab.evaluate("document.activeElement.id") == "talk":
                break
        await tab.press("Enter", "\r")
        await tab.until(f"{PHASE} === 'speaking'")
        assert await tab.evaluate("document.activeElement.id") == "talk"
        await tab.press(" ", " ")
        await tab.until(f"{PHASE} === 'idle'")


async def test_the_key_in_the_address_is_sent_and_no_longer_seen(tmp_path: Path) -> None:
    """`c2VjcmV0` is base64url for `secret`."""
    async with page(tmp_path) as (tab, server):
        await tab.open(f"{server.url}#key=secret&x=1")
        await tab.until("location.hash === '#x=1'")
        await tab.click("#talk")
        await tab.until(f"{PHASE} === 'speaking'")
        await tab.open(f"{server.url}?again")
        await tab.click("#talk")
        await tab.until(f"{PHASE} === 'speaking'")
        assert server.offered == [["echo.v1", "bearer.c2VjcmV0"]] * 2
