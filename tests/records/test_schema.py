"""The record as docs/records.md shows it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from serve_app.records.schema import CallRecord

PAGE = Path(__file__).parents[2] / "docs" / "records.md"


def test_the_example_is_a_record() -> None:
    (shown,) = [block for block in PAGE.read_text().split("```") if '"schema_version"' in block]
    record = CallRecord.model_validate_json(shown.removeprefix("text"))
    assert record.turns[1].interrupted and record.recording is not None
    with pytest.raises(ValidationError):
        CallRecord.model_validate(record.model_dump() | {"colour": "red"})


def test_every_field_is_shown() -> None:
    shown = PAGE.read_text()
    assert [name for name in CallRecord.model_fields if f'"{name}"' not in shown] == []
