"""Streams as real providers send them (serve_app/fakes/openai_endings.py), over the real wire."""

import asyncio
from typing import get_args

import pytest

from serve_app.errors import EngineError, EngineTimeout, ReplyRefused
from serve_app.fakes.openai import Ending, Script
from tests.agent.llm.replies import CHAT, answering, collect, fails, said

HELLO = "Hello there."
SAME = {
    "done", "no-done", "usage-only", "length", "empty-finish", "null-finish", "odd-chunks",
    "no-space", "crlf", "bom", "think-parts", "think-fields", "whole",
}  # fmt: skip
"""The endings that change nothing about what is said."""


@pytest.mark.parametrize("ending", sorted(SAME))
async def test_all_of_the_text_is_said_and_nothing_else(ending: Ending) -> None:
    text, _ = await said(Script(ending=ending))
    assert text == HELLO


@pytest.mark.parametrize(
    ("ending", "spoken"),
    [
        ("think-tags", HELLO),
        ("think-upper", HELLO),
        ("think-unclosed", HELLO),
        ("surrogates", "Hello there. Bye."),
    ],
)
async def test_thoughts_and_broken_characters_are_not_said(ending: Ending, spoken: str) -> None:
    text, _ = await said(Script(ending=ending))
    assert text.split() == spoken.split()  # white space is tidied where it is spoken


async def test_a_thought_without_beginning_is_left_out_if_the_settings_say_so() -> None:
    text, _ = await said(Script(ending="think-unopened"), starts_within_thought=True)
    assert text == HELLO


async def test_a_thought_without_beginning_is_named_in_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with answering(Script(ending="think-unopened")) as (llm, _):
        for _ in range(2):
            await collect(llm.stream(CHAT), pieces := [])
            assert "</think>" not in "".join(pieces)
    assert caplog.text.count("llm.starts_within_thought") == 1


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("only-thoughts", "all tokens went into thoughts: raise max_new_tokens"),
        ("only-tags", "all tokens went into thoughts: raise max_new_tokens"),
        ("nothing", "the model answered with nothing (stop)"),
        ("html", "answered with a web page (text/html): check api_url"),
    ],
)
async def test_silence_is_an_error(ending: Ending, message: str) -> None:
    pieces, error = await fails(Script(ending=ending))
    assert pieces == []
    assert error.message.startswith(message)


async def test_a_filter_that_stops_the_reply_is_a_refusal() -> None:
    pieces, error = await fails(Script(ending="content-filter"))
    assert "".join(pieces) == HELLO
    assert isinstance(error, ReplyRefused)


async def test_an_answer_in_one_piece_has_a_bound() -> None:
    """It is not read to its end, as a stream is not that has no end of an event."""
    pieces, error = await fails(Script(["x" * (2 << 20)], ending="whole"))
    assert pieces == []
    assert error.message == "an answer in one piece that is too long"


def test_every_ending_has_a_test() -> None:
    here = SAME | {"think-tags", "think-upper", "think-unclosed", "think-unopened", "surrogates"}
    here |= {"only-thoughts", "only-tags", "nothing", "html", "content-filter"}
    elsewhere = {"stall", "no-finish", "cut", "bad-json", "bad-utf8", "bad-shape", "error"}
    assert here | elsewhere == set(get_args(Ending))


async def test_the_socket_is_used_again_after_each_of_them() -> None:
    for ending in ("bom", "usage-only", "no-done", "whole", "think-tags"):
        async with answering(Script(ending=ending)) as (llm, server):  # type: ignore[arg-type]
            for _ in range(2):
                await collect(llm.stream(CHAT), [])
        assert [request.connection for request in server.requests] == [0, 0], ending


# --- time ---


@pytest.mark.parametrize("ending", ["think-fields", "think-tags"])
async def test_thinking_has_a_deadline_of_its_own(ending: Ending) -> None:
    """Thoughts take longer than the deadline of the first token."""
    script = Script(ending=ending, piece_delay_s=0.2)
    text, _ = await said(script, first_token_timeout_s=0.55, next_token_timeout_s=2.0)
    assert text.split() == HELLO.split()


async def test_thinking_does_not_go_on_for_ever() -> None:
    script = Script(ending="think-fields", piece_delay_s=1.2)
    limits = {"first_token_timeout_s": 1.9, "thinking_timeout_s": 2.0}
    pieces, error = await fails(script, **limits)
    assert pieces == [] and isinstance(error, EngineTimeout)
    assert error.message == "nothing but thoughts within 2 s"


async def test_a_model_that_thinks_unseen_has_the_time_to() -> None:
    script = Script(first_token_delay_s=0.4)
    limits = {"first_token_timeout_s": 0.2, "thinking_timeout_s": 5.0}
    text, _ = await said(script, model="o3", **limits)
    assert text == HELLO
    with pytest.raises(EngineError, match=r"no text within 0.2 s"):
        await said(script, model="gpt-4.1-mini", **limits)


# --- a server that is not ready ---


async def test_a_model_that_loads_is_waited_for() -> None:
    async with asyncio.timeout(5.0):
        text, server = await said(Script(loads_for=2))
    assert text == HELLO and len(server.requests) == 3


async def test_a_model_that_loads_for_too_long_is_unavailable() -> None:
    _, error = await fails(Script(loads_for=99), first_token_timeout_s=0.8)
    assert error.message == "HTTP 503"


async def test_a_short_pause_is_made_and_a_long_one_is_not() -> None:
    _, error = await fails(Script(status=429, retry_after_s=1), first_token_timeout_s=1.5)
    assert error.message == "HTTP 429"
    async with answering(Script(status=429, retry_after_s=1)) as (llm, server):
        with pytest.raises(EngineError):
            await collect(llm.stream(CHAT), [])
    assert len(server.requests) > 5
