"""The JSON schema of a tool's arguments, checked where it enters: in the settings, or from an MCP
server."""

from typing import Any

from jsonschema import SchemaError
from jsonschema.validators import Draft202012Validator, validator_for


def checked_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema`, if it describes an object. Raises ValueError that says what is wrong."""
    try:
        validator_for(schema, Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"no JSON schema: {error.json_path}: {error.message}") from None
    if schema.get("type") != "object":
        raise ValueError("the arguments of a tool are an object: set `type: object`")
    return schema
