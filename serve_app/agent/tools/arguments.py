"""Whether the arguments of a call fit the JSON schema of its tool."""

from collections.abc import Mapping
from typing import Any

from jsonschema.exceptions import best_match
from jsonschema.validators import Draft202012Validator, validator_for
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

_MAX_COMPLAINT_CHARS = 300
"""A complaint quotes the argument."""


def complaint(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    """What is wrong with arguments, for the model to mend it; empty when nothing is."""
    # With a registry of its own it fetches no `$ref` from anywhere.
    validator = validator_for(schema, Draft202012Validator)(schema, registry=EMPTY_REGISTRY)
    try:
        error = best_match(validator.iter_errors(arguments))
    except Unresolvable:
        return "the schema of this tool refers to another document"
    return f"{error.json_path}: {error.message}"[:_MAX_COMPLAINT_CHARS] if error else ""
