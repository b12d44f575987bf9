"""What is said to be there is what there is: the tables, the docs and the `openai` package."""

import re
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import pydantic
import pytest
from openai.types.realtime import (
    RealtimeClientEvent,
    RealtimeResponseCreateParams,
    RealtimeServerEvent,
    RealtimeSessionCreateRequest,
)

from serve_app.protocol.realtime import support

DOCS = Path(__file__).parents[3] / "docs" / "realtime.md"


def event_types(union: Any) -> set[str]:
    events = get_args(get_args(union)[0])
    return {get_args(event.model_fields["type"].annotation)[0] for event in events}


def models(annotation: Any) -> list[type[pydantic.BaseModel]]:
    """The classes that a field may have, whatever it is wrapped in; not those in lists."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    if get_origin(annotation) is Annotated or get_origin(annotation) is Union:
        return [model for inner in get_args(annotation) for model in models(inner)]
    if getattr(annotation, "__args__", None) and get_origin(annotation) is not list:
        return [model for inner in annotation.__args__ for model in models(inner)]
    return []


def paths(model: type[pydantic.BaseModel], rows: set[str], above: str = "") -> set[str]:
    """The fields of a class: down to those that are in the table, or have no fields of their
    own."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        path, below = above + name, models(field.annotation)
        if path in rows or not below:
            found.add(path)
        else:
            found |= {inner for one in below for inner in paths(one, rows, f"{path}.")}
    return found


def test_every_event_of_the_package_is_in_the_tables() -> None:
    assert event_types(RealtimeClientEvent) == set(support.CLIENT_EVENTS)
    assert event_types(RealtimeServerEvent) == set(support.SERVER_EVENTS)


def test_every_field_of_the_package_is_in_the_tables() -> None:
    session, response = set(support.SESSION_FIELDS), set(support.RESPONSE_FIELDS)
    assert paths(RealtimeSessionCreateRequest, session) == session
    assert paths(RealtimeResponseCreateParams, response) == response


@pytest.mark.parametrize("title", support.tables())
def test_the_docs_have_the_tables(title: str) -> None:
    """`python -m serve_app.protocol.realtime.support` prints them."""
    found = re.search(f"<!-- {title} -->\n(.*?)\n<!-- end of {title} -->", DOCS.read_text(), re.S)
    assert found and found[1] == support.tables()[title]


def test_what_is_refused_says_why() -> None:
    every = (support.SESSION_FIELDS, support.RESPONSE_FIELDS, support.CLIENT_EVENTS)
    for rows in every:
        for row in rows.values():
            assert row.note or row.support is not support.Support.REFUSED
