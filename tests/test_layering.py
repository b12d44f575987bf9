"""Pure packages stay pure, and only the composition root knows the deployments."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STANDARD = {"collections", "dataclasses", "enum", "re", "typing", "unicodedata"}
PURE = STANDARD | {"numpy", "msgpack", "serve_app"}
"""No clock, no randomness, no asyncio, no ray."""
PURE_OF_OURS = {"serve_app.conversation", "serve_app.protocol", "serve_app.errors"}


def imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.append(node.module or "")
    return names


def modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("path", modules("serve_app/protocol", "serve_app/conversation"), ids=str)
def test_the_pure_packages_import_no_io(path: Path) -> None:
    for name in imports(path):
        assert name.split(".")[0] in PURE, f"{path.name} imports {name}"
        if name.startswith("serve_app"):
            assert ".".join(name.split(".")[:2]) in PURE_OF_OURS, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", modules("serve_app"), ids=str)
def test_only_the_composition_root_imports_deployments(path: Path) -> None:
    if path.name != "app.py":
        assert not [name for name in imports(path) if name.split(".")[0] == "deployments"]


@pytest.mark.parametrize(
    "path",
    modules("serve_app/agent", "serve_app/stt", "serve_app/vad", "serve_app/models"),
    ids=str,
)
def test_engines_and_tools_do_not_know_ray(path: Path) -> None:
    assert not [name for name in imports(path) if name.split(".")[0] == "ray"]
