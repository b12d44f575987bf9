"""What has to be true of the settings that a page names. As in tests/docs/rules.py."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from serve_app.settings.schema import AppConfig
from tests.docs.pages import Page, tables

_VARIABLE = re.compile(
    r"\b(?:ECHO|OPENAI|TEXT_GENERATION|TEXT_TO_SPEECH|SPEECH_TO_TEXT|ELEVEN_LABS|RAY_SERVE)"
    r"_[A-Z][A-Z_]*[A-Z]\b"
)
_SETTING = re.compile(
    r"(?:args\.)?((?:ingress|access|sessions|turn|vad|stt|agent)\.\w+(?:\.\w+)*)(?:: .*)?"
)


def variables_are_read(at: Page) -> list[str]:
    """Environment variables are in the code or the manifests; Serve's are in Serve's."""
    return sorted(set(_VARIABLE.findall(at.text)) - _variables(at.root))


@cache
def _variables(root: Path) -> set[str]:
    ours = [*_sources(root / "serve_app"), *_sources(root / "deployments"), *_sources(root / "k8s")]
    serve = find_spec("ray.serve._private.constants")
    assert serve is not None and serve.origin is not None
    texts = (path.read_text(encoding="utf-8") for path in (*ours, Path(serve.origin)))
    return {name for text in texts for name in _VARIABLE.findall(text)}


def _sources(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix in (".py", ".yaml"))


def settings_exist(at: Page) -> list[str]:
    """`stt.max_replicas` and `args.turn.hold_ms` are fields of AppConfig."""
    named = [match[1] for span in at.code if (match := _SETTING.fullmatch(span))]
    unknown = [name for name in named if not _is_setting(AppConfig, name.split("."))]
    return [name for name in unknown if name.removeprefix("args.") != "turn.preset"]


def limits_are_settings(at: Page) -> list[str]:
    """In tables of what is taken `at most`, a setting without a path is below the one that the
    section names for it."""
    found = []
    for section in re.split(r"^## ", at.text, flags=re.MULTILINE):
        below = re.findall(r"settings under\s+`args\.([\w.]+)`", section)
        for table in tables(section):
            if {"at most", "setting"} <= set(head := table.rows[0]):
                cells = (row[head.index("setting")] for row in table.rows[1:])
                names = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
                found += [n for n in names if not _is_below(below, n)]
    return found


def _is_below(paths: list[str], name: str) -> bool:
    return bool(paths) and _is_setting(AppConfig, [*paths[-1].split("."), name])


def _is_setting(settings: Any, names: list[str]) -> bool:
    if not names:
        return True
    kinds = _kinds(settings)
    return names[0] in kinds and _is_setting(kinds[names[0]], names[1:])


def _kinds(settings: Any) -> Mapping[str, Any]:
    if isinstance(settings, type) and issubclass(settings, BaseModel):
        return {name: field.annotation for name, field in settings.model_fields.items()}
    if is_dataclass(settings):
        return {field.name: field.type for field in fields(settings)}
    return {}


def yaml_is_valid(at: Page) -> list[str]:
    """It parses, and goes under `args` if it is not about Kubernetes."""
    is_ours = not at.name.startswith("k8s/")
    texts = [block.text for block in at.blocks if block.language == "yaml"]
    return [problem for text in texts for problem in _problems(text, is_ours)]


def _problems(text: str, is_ours: bool) -> Iterator[str]:
    try:
        content = yaml.safe_load(text)
        if is_ours:
            AppConfig.model_validate(content)
    except (yaml.YAMLError, ValidationError) as error:
        yield " ".join(str(error).split())
