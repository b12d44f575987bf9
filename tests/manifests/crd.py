"""Validates objects against a CustomResourceDefinition, as an API server does, without one."""

from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator


def validator(crd: Path, version: str = "v1") -> Draft202012Validator:
    """A validator for the CRD in this file. It refuses keys that the API server would drop."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a RayService's CRD has 1 MB
    definition = yaml.load(crd.read_text(), Loader=loader)
    (schema,) = (
        v["schema"]["openAPIV3Schema"]
        for v in definition["spec"]["versions"]
        if v["name"] == version
    )
    return Draft202012Validator(_strict(schema) | {"required": ["metadata", "spec"]})


def problems(of: Draft202012Validator, document: Any) -> list[str]:
    """One line for each thing that is wrong."""
    return [f"{error.json_path}: {error.message[:200]}" for error in of.iter_errors(document)]


def _strict(schema: Any) -> Any:
    """Kubernetes' dialect of OpenAPI as JSON Schema."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {
        key: {name: _strict(value) for name, value in part.items()}
        if key == "properties"
        else _strict(part)
        for key, part in schema.items()
        if not key.startswith("x-kubernetes-") and key not in ("default", "description", "format")
    }
    if schema.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
        result["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    properties = schema.get("properties")
    if not properties:
        return result
    if schema.get("x-kubernetes-embedded-resource") or "kind" in properties:
        result["properties"].setdefault("metadata", {"type": "object"})
    if not schema.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    # The server fills in defaults before it validates.
    result["required"] = [
        name for name in schema.get("required", []) if "default" not in properties.get(name, {})
    ]
    return result
