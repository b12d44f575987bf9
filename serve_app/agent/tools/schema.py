"""JSON schemas of tools: are they schemas, and do arguments fit them?"""

from collections.abc import Mapping
from typing import Any

from jsonschema import SchemaError
from jsonschema.exceptions import best_match
from jsonschema.validators import Draft202012Validator, validator_for
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

_MAX_COMPLAINT_CHARS = 300
"""A complaint quotes the argument."""


def checked_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema`, when it is one of an object. Raises ValueError that says what is wrong."""
    try:
        validator_for(schema, Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"no JSON schema: {error.json_path}: {error.message}") from None
    if schema.get("type") != "object":
        raise ValueError("the arguments of a tool are an object: set `type: object`")
    return schema


def complaint(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    """What is wrong with arguments, for the model to mend it; empty when nothing is."""
    # With a registry of its own it fetches no `$ref` from anywhere.
    validator = validator_for(schema, Draft202012Validator)(schema, registry=EMPTY_REGISTRY)
    try:
        error = best_match(validator.iter_errors(arguments))
    except Unresolvable:
        return "the schema of this tool refers to another document"
    return f"{error.json_path}: {error.message}"[:_MAX_COMPLAINT_CHARS] if error else ""
