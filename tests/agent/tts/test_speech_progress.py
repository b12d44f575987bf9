"""How far a voice has got in its text."""

import asyncio

from serve_app.agent.tts.speech_progress import Progress, ProviderMessage
from serve_app.protocol.formats import parse_format

PCM = parse_format("pcm_22050")
MINUTE = "word " * 199


async def test_text_waits_while_a_minute_of_it_is_unsaid() -> None:
    progress = Progress(PCM)
    await progress.room()
    progress.put(MINUTE)
    await progress.room()
    progress.put("one more")
    waiting = asyncio.create_task(progress.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    progress.heard(ProviderMessage(b"\0\0", "word " * 2))
    async with asyncio.timeout(1):
        await waiting


async def test_without_alignment_text_does_not_wait() -> None:
    progress = Progress(PCM)
    progress.put(MINUTE * 2)
    waiting = asyncio.create_task(progress.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    progress.heard(ProviderMessage(b"\0\0"))
    async with asyncio.timeout(1):
        await waiting


async def test_the_rest_begins_after_the_last_aligned_letter() -> None:
    progress = Progress(PCM)
    progress.put("Yes, it is 7 o'clock.")
    progress.heard(ProviderMessage(b"\0\0\0", "Yes, it is"))
    assert progress.restart() == "7 o'clock."
    speech = progress.heard(ProviderMessage(b"\1\1", "7"))
    assert speech is not None
    assert speech.audio == b"\1\1", "half a sample of the lost connection is not put before it"
    assert progress.restart() == "o'clock."


async def test_all_is_said_when_no_letter_is_left() -> None:
    progress = Progress(PCM)
    progress.put("Yes!")
    progress.heard(ProviderMessage(b"\0\0", "Yes"))
    assert not progress.is_said, "there may be more text"
    progress.end()
    assert progress.is_said
