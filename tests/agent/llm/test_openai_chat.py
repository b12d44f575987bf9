import asyncio
import contextlib
import os
import socket

import pytest

from serve_app.agent.llm.openai_chat import OpenAiChat
from serve_app.conversation.history import ChatMessage
from serve_app.errors import EngineError, EngineRefused, EngineTimeout, EngineUnavailable
from serve_app.fakes.openai import TOO_LONG, FakeOpenAi, Script
from serve_app.settings.agent import LlmSettings
from tests.agent.llm.replies import CHAT, KEY, chat_model, collect, fails

DEADLINE_S = 5.0


async def test_reply_streams() -> None:
    async with FakeOpenAi() as server:
        llm = chat_model(server.url, max_new_tokens=7)
        pieces: list[str] = []
        await collect(llm.stream(CHAT), pieces)
        await llm.aclose()

    assert pieces == ["Hello", " there", "."]
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "My secret is 4711."},
        ],
        "stream": True,
        "max_tokens": 7,
    }


async def test_openai_gets_its_own_name_for_the_limit() -> None:
    async with FakeOpenAi() as server:
        llm = chat_model(server.url, provider="openai", max_new_tokens=7)
        await collect(llm.stream(CHAT), [])
        await llm.aclose()

    assert server.requests[0].body["max_completion_tokens"] == 7
    assert "max_tokens" not in server.requests[0].body


async def test_keyless_server_does_not_get_the_key_of_openai(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    async with FakeOpenAi() as server:
        llm = OpenAiChat(LlmSettings(provider="generic", model="m", api_url=server.url), "")
        await collect(llm.stream(CHAT), [])
        await llm.aclose()

    assert "sk-from-the-environment" not in str(server.requests[0].headers)


async def test_replies_share_a_connection() -> None:
    async with FakeOpenAi() as server:
        llm = chat_model(server.url)
        await collect(llm.stream(CHAT), [])
        await collect(llm.stream(CHAT), [])
        await llm.aclose()

    assert [r.connection for r in server.requests] == [0, 0]


async def test_closing_the_stream_hangs_up() -> None:
    async with FakeOpenAi(Script(ending="stall")) as server:
        llm = chat_model(server.url)
        stream = llm.stream(CHAT)
        assert await anext(stream) == "Hello"
        await stream.aclose()
        async with asyncio.timeout(DEADLINE_S):
            await server.requests[0].disconnected.wait()
        await llm.aclose()


@pytest.mark.parametrize(
    "script",
    [Script((), ending="stall"), Script(("Hello",), ending="stall"), Script(is_mute=True)],
    ids=["nothing written", "in the reply", "not answered"],
)
async def test_cancelling_the_reader_hangs_up(script: Script) -> None:
    async with FakeOpenAi(script) as server:
        llm = chat_model(server.url)
        reader = asyncio.create_task(collect(llm.stream(CHAT), []))
        async with asyncio.timeout(DEADLINE_S):
            await server.arrived.wait()
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            await server.requests[0].disconnected.wait()
        await llm.aclose()


async def test_two_hundred_interrupts_leave_no_socket_and_no_task() -> None:
    open_files = len(os.listdir("/proc/self/fd"))
    async with FakeOpenAi(Script(ending="stall")) as server:
        llm = chat_model(server.url)
        for _ in range(200):
            stream = llm.stream(CHAT)
            await anext(stream)
            await stream.aclose()
        async with asyncio.timeout(DEADLINE_S):
            for request in server.requests:
                await request.disconnected.wait()
    assert len(server.requests) == 200
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(os.listdir("/proc/self/fd")) == open_files
    await llm.aclose()


async def test_cut_stream_keeps_what_came() -> None:
    pieces, error = await fails(Script(ending="no-finish"))
    assert pieces == ["Hello", " there", "."]
    assert (error.message, error.retryable) == ("the stream ended early", True)


async def test_lost_connection() -> None:
    pieces, error = await fails(Script(ending="cut"))
    assert pieces == ["Hello", " there", "."]
    assert isinstance(error, EngineUnavailable)


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("bad-json", "bad answer (JSONDecodeError)"),
        ("bad-utf8", "bad answer (UnicodeDecodeError)"),
        ("bad-shape", "the stream ended early"),
        ("error", "the provider failed server_error"),
    ],
)
async def test_broken_stream(ending: str, message: str) -> None:
    pieces, error = await fails(Script(ending=ending))  # type: ignore[arg-type]
    assert pieces == ["Hello", " there", "."]
    assert (error.message, error.retryable) == (message, True)


@pytest.mark.parametrize("status", [401, 403])
async def test_wrong_key_names_the_variable(status: int) -> None:
    script = Script(status=status, error_code="invalid_api_key")
    _, error = await fails(script, api_key_variable="MY_KEY")
    assert error.message == f"HTTP {status} invalid_api_key: check MY_KEY"
    assert isinstance(error, EngineRefused) and not error.retryable


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_busy_provider_is_unavailable(status: int) -> None:
    _, error = await fails(Script(status=status, error_code="insufficient_quota"))
    assert isinstance(error, EngineUnavailable)
    assert error.message == f"HTTP {status} insufficient_quota"


@pytest.mark.parametrize("status", [429, 503])
async def test_nobody_waits_for_two_minutes_because_a_provider_says_so(status: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        _, error = await fails(Script(status=status, retry_after_s=120))
    assert isinstance(error, EngineUnavailable)


async def test_refused_request_is_final() -> None:
    _, error = await fails(Script(status=400, error_code="My secret is 4711."))
    assert type(error) is EngineError
    assert (error.message, error.retryable) == ("HTTP 400", False)


@pytest.mark.parametrize("script", [Script((), "stall"), Script(is_mute=True)])
async def test_first_token_has_a_deadline(script: Script) -> None:
    pieces, error = await fails(script, first_token_timeout_s=0.1)
    assert pieces == []
    assert isinstance(error, EngineTimeout)
    assert error.message == "no text within 0.1 s"


async def test_keep_alives_do_not_extend_the_deadline_of_the_next_token() -> None:
    script = Script(ending="stall", keep_alive_s=0.02)
    pieces, error = await fails(script, next_token_timeout_s=1.0)
    assert pieces == ["Hello", " there", "."]
    assert isinstance(error, EngineTimeout)
    assert error.message == "no text within 1 s"


async def test_endless_reply_is_stopped() -> None:
    pieces, error = await fails(Script(["x" * 1_000] * 25))
    assert len(pieces) == 20
    assert error.message == "the reply exceeds 20000 characters"


async def test_connection_that_was_closed_meanwhile_is_tried_again() -> None:
    async with FakeOpenAi(Script(drop_first=1)) as server:
        llm = chat_model(server.url)
        pieces: list[str] = []
        await collect(llm.stream(CHAT), pieces)
        await llm.aclose()

    assert pieces == ["Hello", " there", "."]
    assert len(server.requests) == 2


async def test_connection_that_is_always_closed_is_tried_twice_only() -> None:
    async with FakeOpenAi(Script(drop_first=9)) as server:
        llm = chat_model(server.url)
        with pytest.raises(EngineUnavailable):
            await collect(llm.stream(CHAT), [])
        await llm.aclose()

    assert len(server.requests) == 2


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        llm = chat_model(f"http://127.0.0.1:{unused.getsockname()[1]}/v1")
        with pytest.raises(EngineUnavailable, match="ConnectError"):
            await collect(llm.stream(CHAT), [])
        await llm.aclose()


async def test_host_that_has_no_address() -> None:
    llm = chat_model("http://no-such-host.invalid/v1")
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(EngineError) as caught:
            await collect(llm.stream(CHAT), [])
    assert isinstance(caught.value, EngineUnavailable | EngineTimeout)
    await llm.aclose()


async def test_host_that_does_not_answer_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):  # nobody accepts: the kernel stops answering
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        llm = chat_model(f"http://127.0.0.1:{full.getsockname()[1]}/v1")
        with pytest.raises(EngineTimeout, match="no connection in time"):
            await collect(llm.stream(CHAT), [])
        await llm.aclose()


@pytest.mark.parametrize("server_kind", TOO_LONG)
async def test_a_chat_that_is_too_long_is_halved_and_asked_again(server_kind: str) -> None:
    """Without this every later turn would end in the apology."""
    chat = [CHAT[0], *(ChatMessage("user", "Hm?"), ChatMessage("assistant", "Yes.")) * 10, CHAT[1]]
    script = Script(longest_chat=12, refusal_of_long_chats=server_kind)
    async with FakeOpenAi(script) as server:
        llm = chat_model(server.url)
        pieces: list[str] = []
        await collect(llm.stream(chat), pieces)
        await llm.aclose()
    assert pieces == ["Hello", " there", "."]
    long, short = ([m["content"] for m in r.body["messages"]] for r in server.requests)
    assert len(long) == 22 and short == [long[0], *long[-(len(short) - 1) :]]
    assert 8 < len(short) <= 12


async def test_a_chat_that_is_too_long_even_then_is_refused() -> None:
    _, error = await fails(Script(longest_chat=1))
    assert "context_length_exceeded" in str(error) and not error.retryable
