"""Requests for tools, put together from parts as real servers cut them."""

import pytest

from serve_app.agent.llm.tool_calls import CallAssembler, ToolCall
from serve_app.agent.llm.tool_calls import ToolCallDelta as Part

TIME = ToolCall("a", "get_time", '{"city": "Rome"}')
DATE = ToolCall("b", "get_date", "{}")


def assembled(*parts: Part) -> tuple[ToolCall, ...]:
    assembler = CallAssembler()
    for part in parts:
        assembler.add(part)
    return assembler.calls


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(
            (
                Part(0, "a", "get_time", ""),
                Part(0, "", "", '{"city"'),
                Part(0, "", "", ': "Rome"}'),
                Part(1, "b", "get_date", ""),
                Part(1, "", "", "{}"),
            ),
            id="as OpenAI does",
        ),
        pytest.param(
            (
                Part(0, "a", "get_time", '{"city"'),
                Part(1, "b", "get_date", "{"),
                Part(0, "", "", ': "Rome"}'),
                Part(1, "", "", "}"),
            ),
            id="in turns",
        ),
        pytest.param(
            (Part(0, "a", "get_time", '{"city": "Rome"}'), Part(0, "b", "get_date", "{}")),
            id="whole calls, all number 0",
        ),
        pytest.param(
            (Part(None, "a", "get_time", '{"city": "Rome"}'), Part(None, "b", "get_date", "")),
            id="whole calls without number",
        ),
        pytest.param(
            (
                Part(None, "a", "get_time", '{"city"'),
                Part(None, "", "", ': "Rome"}'),
                Part(None, "b", "get_date", ""),
            ),
            id="parts without number",
        ),
        pytest.param(
            (
                Part(0, "a", "get_time", '{"city"'),
                Part(0, "a", "get_time", ': "Rome"}'),
                Part(1, "b", "get_date", ""),
                Part(1, "b", "get_date", ""),
            ),
            id="id and name with each part",
        ),
        pytest.param(
            (
                Part(0, "a", "get_time", '{"city"'),
                Part(0, "another", "", ': "Rome"}'),
                Part(1, "b", "get_date", ""),
            ),
            id="another id with each part",
        ),
    ],
)
def test_the_same_calls_however_they_are_cut(parts: tuple[Part, ...]) -> None:
    assert assembled(*parts) == (TIME, DATE)


@pytest.mark.parametrize("number", [0, None])
def test_calls_without_ids_get_some(number: int | None) -> None:
    parts = [Part(number, "", "get_time", f'{{"city": "{city}"}}') for city in ("Rome", "Bonn")]
    first, second = assembled(*parts)
    assert first.id and second.id and first.id != second.id
    assert (first.arguments, second.arguments) == ('{"city": "Rome"}', '{"city": "Bonn"}')


def test_name_that_is_repeated_without_an_id_is_no_other_call() -> None:
    (call,) = assembled(Part(0, "", "get_time", '{"city"'), Part(0, "", "get_time", ': "Rome"}'))
    assert call.arguments == TIME.arguments


def test_broken_arguments_are_passed_on() -> None:
    (call,) = assembled(Part(0, "a", "get_time", '{"city": '))
    assert call.arguments == '{"city": '


def test_nothing_is_asked() -> None:
    assert assembled() == ()
