"""The part of kustomize that k8s/ uses, for machines without it: resources, components, JSON 6902
patches and images. Anything else is refused. Where there is a kubectl, a test compares the two."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

_KNOWN = {"apiVersion", "kind", "resources", "components", "patches", "images"}


def render(folder: Path, components: Iterable[Path] = ()) -> list[Any]:
    """The objects of a kustomization, with these components on top."""
    objects = _apply(folder, [])
    for component in components:
        objects = _apply(component, objects)
    return objects


def _apply(folder: Path, objects: list[Any]) -> list[Any]:
    """`objects` and what this kustomization adds; its patches see both, as a component's do."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(plan) <= _KNOWN, f"{folder}: {set(plan) - _KNOWN} is not known here"
    objects = list(objects)
    for name in plan.get("resources", []):
        path = folder / name
        objects += _apply(path, []) if path.is_dir() else _documents(path)
    for name in plan.get("components", []):
        objects = _apply(folder / name, objects)
    for patch in plan.get("patches", []):
        _patch(objects, patch["target"], yaml.safe_load((folder / patch["path"]).read_text()))
    for image in plan.get("images", []):
        _set_image(objects, image)
    return objects


def _documents(path: Path) -> list[Any]:
    """Copies what YAML's anchors share, so that a patch of one group does not change another."""
    return [json.loads(json.dumps(d)) for d in yaml.safe_load_all(path.read_text())]


def _patch(objects: list[Any], target: dict[str, str], operations: list[Any]) -> None:
    found = [
        o
        for o in objects
        if o["kind"] == target["kind"] and o["metadata"]["name"] == target["name"]
    ]
    assert found, f"there is no {target}"
    for document in found:
        for operation in operations:
            _operate(document, operation)


def _operate(document: Any, operation: dict[str, Any]) -> None:
    """One operation of RFC 6902. Raises KeyError, IndexError or AssertionError when it cannot."""
    *parents, last = (
        part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
    )
    for part in parents:
        document = document[int(part) if isinstance(document, list) else part]
    key: Any = last
    if isinstance(document, list):
        key = len(document) if last == "-" else int(last)
    match operation["op"]:
        case "add" if isinstance(document, list):
            document.insert(key, operation["value"])
        case "add":
            document[key] = operation["value"]
        case "replace":
            assert document[key] is not None
            document[key] = operation["value"]
        case "remove":
            del document[key]
        case "test":
            assert document[key] == operation["value"], f"{operation}: it is {document[key]}"
        case other:
            raise AssertionError(f"{other} is not known here")


def _set_image(node: Any, image: dict[str, str]) -> None:
    """Changes every list of containers, wherever it is, as kustomize does."""
    if isinstance(node, list):
        for item in node:
            _set_image(item, image)
    elif isinstance(node, dict):
        for container in (node.get("containers") or []) + (node.get("initContainers") or []):
            name, _, tag = container["image"].partition(":")
            if name == image["name"]:
                tag = image.get("newTag", tag)
                container["image"] = f"{image.get('newName', name)}:{tag}"
        for value in node.values():
            _set_image(value, image)
