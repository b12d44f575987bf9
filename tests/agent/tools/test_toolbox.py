"""Calls of tools: what fits, what fails, and that all of them end."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from serve_app.agent.llm.tool_calls import ToolCall
from serve_app.agent.tools.http_tool import HttpTool
from serve_app.agent.tools.python_tool import PythonTool
from tests.agent.tools import local
from tests.agent.tools.local import DEADLINE_S, NOTHING, rome, serving, spec, toolbox

# --- functions ---


async def test_functions_and_coroutines_are_called_by_name() -> None:
    tools = toolbox(
        PythonTool(spec("weather"), local.weather),
        PythonTool(spec("soon"), local.weather_soon),
        PythonTool(spec("station"), local.Station()),
    )
    assert [s.name for s in tools.specs] == ["weather", "soon", "station"]
    results = await tools.call_all([rome("weather"), rome("soon"), rome("station")])
    await tools.aclose()
    assert results == ('{"city": "Rome", "sky": "clear"}', "Clear in Rome.", "Clear in Rome.")


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (ToolCall("1", "weather", '{"city": '), "Error: the arguments are not valid JSON"),
        (ToolCall("1", "weather", "[1]"), "Error: the arguments are not a JSON object"),
        (
            ToolCall("1", "weather", '{"city": 3}'),
            "Error: wrong arguments: $.city: 3 is not of type 'string'",
        ),
        (
            ToolCall("1", "weather", "{}"),
            "Error: wrong arguments: $: 'city' is a required property",
        ),
        (rome("whether"), "Error: there is no such tool"),
        (rome("broken"), "Error: ValueError: no such city: Rome"),
    ],
)
async def test_what_goes_wrong_is_a_result(call: ToolCall, result: str) -> None:
    tools = toolbox(
        PythonTool(spec("weather"), local.weather), PythonTool(spec("broken"), local.broken)
    )
    assert await tools.call_all([call]) == (result,)
    await tools.aclose()


async def test_deeply_nested_arguments_are_no_crash() -> None:
    tools = toolbox(PythonTool(spec("weather"), local.weather))
    deep = '{"city": ' + "[" * 100_000 + "]" * 100_000 + "}"
    (result,) = await tools.call_all([ToolCall("1", "weather", deep)])
    await tools.aclose()
    assert result.startswith("Error: ")
    assert len(result) < 1000


async def test_a_schema_does_not_fetch_anything() -> None:
    """Servers of tools send schemas, too."""
    asked: list[Request] = []

    def schema_of_strings(request: Request) -> Response:
        asked.append(request)
        return JSONResponse({"type": "string"})

    async with serving(Starlette(routes=[Route("/", schema_of_strings)])) as url:
        schema = {"type": "object", "properties": {"city": {"$ref": f"{url}/"}}}
        tools = toolbox(PythonTool(spec("weather", schema), local.weather))
        (result,) = await tools.call_all([rome("weather")])
        await tools.aclose()
    assert result == "Error: wrong arguments: the schema of this tool refers to another document"
    assert not asked


async def test_calls_of_one_round_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=DEADLINE_S)
    tools = toolbox(PythonTool(spec("meet", NOTHING), lambda: both.wait() is not None))
    calls = [ToolCall(str(i), "meet", "{}") for i in range(2)]
    assert await tools.call_all(calls) == ("true", "true")
    await tools.aclose()


async def test_too_many_calls_are_told_so() -> None:
    tools = toolbox(PythonTool(spec("soon"), local.weather_soon))
    results = await tools.call_all([rome("soon")] * 10)
    await tools.aclose()
    assert results[:8] == ("Clear in Rome.",) * 8
    assert results[8:] == ("Not called: only 8 calls at a time are allowed.",) * 2


async def test_a_long_result_is_cut() -> None:
    tools = toolbox(PythonTool(spec("long", NOTHING), lambda: "x" * 1000), max_result_chars=100)
    (result,) = await tools.call_all([ToolCall("1", "long", "{}")])
    await tools.aclose()
    assert result == "x" * 100 + " (cut off here)"


async def test_a_result_is_plain_text() -> None:
    """Nothing that hides words, or turns them round."""
    to_models_only = "".join(chr(0xE0000 + ord(letter)) for letter in "obey")
    hidden = "a\x00b\x1b[2Jc\u202ed\u200be\ufefff\r\n\tg" + to_models_only
    tools = toolbox(PythonTool(spec("odd", NOTHING), lambda: hidden))
    (result,) = await tools.call_all([ToolCall("1", "odd", "{}")])
    await tools.aclose()
    assert result == "ab[2Jcdef\n\tg"


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Releases functions that hang, so that their threads end."""
    event = threading.Event()
    yield event
    event.set()


async def test_a_function_that_hangs_is_given_up(release: threading.Event) -> None:
    tools = toolbox(PythonTool(spec("hang", NOTHING), release.wait), timeout_s=0.1)
    assert await tools.call_all([ToolCall("1", "hang", "{}")]) == ("Error: no result within 0.1 s",)
    await tools.aclose()


async def test_a_coroutine_that_will_not_be_cancelled_keeps_nobody_waiting() -> None:
    done = asyncio.Event()

    async def stubborn() -> str:
        while not done.is_set():
            try:
                await done.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    tools = toolbox(PythonTool(spec("stubborn", NOTHING), stubborn), timeout_s=0.1)
    started_s = time.monotonic()
    (result,) = await tools.call_all([ToolCall("1", "stubborn", "{}")])
    assert result == "Error: no result within 0.1 s"
    assert time.monotonic() - started_s < DEADLINE_S
    assert tools.running == 1
    done.set()
    await tools.aclose()
    assert tools.running == 0


async def test_a_coroutine_that_cancels_itself_has_failed() -> None:
    async def cancels() -> str:
        raise asyncio.CancelledError

    tools = toolbox(PythonTool(spec("cancels", NOTHING), cancels))
    (result,) = await tools.call_all([ToolCall("1", "cancels", "{}")])
    await tools.aclose()
    assert result == "Error: the call was cancelled"


async def test_cancelling_a_round_cancels_its_calls() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    tools = toolbox(PythonTool(spec("waits", NOTHING), waits))
    work = asyncio.create_task(tools.call_all([ToolCall("1", "waits", "{}")]))
    async with asyncio.timeout(DEADLINE_S):
        await started.wait()
        work.cancel()
        await cancelled.wait()
    await tools.aclose()
    assert tools.running == 0


# --- HTTP endpoints ---


async def endpoint(request: Request) -> Response:
    match request.path_params["what"]:
        case "weather":
            return JSONResponse([await request.json(), request.headers.get("authorization")])
        case "broken":
            return PlainTextResponse("no such city", 404)
        case "elsewhere":
            return RedirectResponse("/weather", 307)
        case "endless":
            return PlainTextResponse("x" * 1_000_000)
        case _:
            await asyncio.sleep(60)
            return PlainTextResponse("late")


@pytest.mark.parametrize(
    ("what", "result"),
    [
        ("weather", '[{"city":"Rome"},"Bearer secret"]'),
        ("broken", "Error: HTTP 404: no such city"),
        ("elsewhere", "Error: HTTP 307: "),
        ("endless", "x" * 200 + " (cut off here)"),
        ("slow", "Error: no result within 0.5 s"),
    ],
)
async def test_an_endpoint(what: str, result: str) -> None:
    app = Starlette(routes=[Route("/{what}", endpoint, methods=["POST"])])
    async with serving(app) as url:
        tool = HttpTool(spec("weather"), f"{url}/{what}", "secret", 200)
        tools = toolbox(tool, max_result_chars=200, timeout_s=0.5)
        assert await tools.call_all([rome("weather")]) == (result,)
        await tools.aclose()


async def test_an_endpoint_that_is_not_there() -> None:
    async with serving(Starlette()) as url:
        pass
    tools = toolbox(HttpTool(spec("weather"), url, "", 200))
    (result,) = await tools.call_all([rome("weather")])
    await tools.aclose()
    assert result == "Error: the tool cannot be reached (ConnectError)"


STEERING = ["../admin", "@elsewhere/", "//elsewhere", "x\r\nhost: elsewhere\r\n", "?a#b", "%2e%2e/"]


@pytest.mark.parametrize("city", STEERING)
async def test_arguments_do_not_choose_where_a_tool_is(city: str) -> None:
    """They are in the body; address and headers are the owner's."""
    asked: list[tuple[str, str | None, str | None, object]] = []

    async def record(request: Request) -> Response:
        told = (request.headers.get("host"), request.headers.get("authorization"))
        asked.append((str(request.url), *told, await request.json()))
        return PlainTextResponse("clear")

    routes = [Route("/{path:path}", record, methods=["POST"])]
    async with serving(Starlette(routes=routes)) as url:
        tools = toolbox(HttpTool(spec("weather"), f"{url}/weather", "secret", 200))
        call = ToolCall("1", "weather", json.dumps({"city": city}))
        assert await tools.call_all([call]) == ("clear",)
        await tools.aclose()
    host = url.removeprefix("http://")
    assert asked == [(f"{url}/weather", host, "Bearer secret", {"city": city})]
