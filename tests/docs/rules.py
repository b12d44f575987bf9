"""What has to be true of a page. Each rule returns what is wrong, one line each."""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from serve_app.settings.schema import AppConfig
from tests.docs.pages import Page, Table, page, tables

Rule = Callable[[Page], list[str]]

_LANGUAGES = {
    "sh",
    "console",
    "text",
    "yaml",
    "mermaid",
    "ini",
    "nginx",
    "caddyfile",
    "python",
    "js",
}
_FOLDERS = (
    *("serve_app", "deployments", "tests", "bench", "supply"),
    *("docs", "configs", "k8s", "monitoring"),
)
_VARIABLE = re.compile(
    r"\b(?:ECHO|OPENAI|TEXT_GENERATION|TEXT_TO_SPEECH|SPEECH_TO_TEXT|ELEVEN_LABS|RAY_SERVE)"
    r"_[A-Z][A-Z_]*[A-Z]\b"
)
_SETTING = re.compile(
    r"(?:args\.)?((?:ingress|access|sessions|turn|vad|stt|agent)\.\w+(?:\.\w+)*)(?:: .*)?"
)
_PLACEHOLDER = re.compile(r"\b[A-Z]+\b")
"""`deployments/X.py` stands for all of them."""


# --- links and names ---


def links_lead_somewhere(at: Page) -> list[str]:
    """Relative links and their anchors."""
    return [link for link in at.links if "://" not in link and not _leads_somewhere(at, link)]


def _leads_somewhere(at: Page, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (at.folder / path).resolve() if path else (at.root / at.name).resolve()
    if not target.exists():
        return False
    if not anchor:
        return True
    there = at if not path else page(target.parent, target.name)
    return target.suffix == ".md" and anchor in there.anchors


def paths_exist(at: Page) -> list[str]:
    """Of the repository, and in a README of a folder also those below that folder."""
    return [span for span in at.code if _is_path(at, span) and not _exists(at, span)]


def _is_path(at: Page, span: str) -> bool:
    first, slash, _ = span.partition("/")
    is_here = at.folder != at.root and bool(first) and (at.folder / first).is_dir()
    return bool(slash) and " " not in span and (first in _FOLDERS or is_here)


def _exists(at: Page, span: str) -> bool:
    pattern = _PLACEHOLDER.sub("*", span.partition("::")[0].rstrip("/"))
    folders = [at.root] if span.startswith(_FOLDERS) else [at.folder]
    return any(any(folder.glob(pattern)) for folder in folders)


def make_targets_exist(at: Page) -> list[str]:
    makefile = (at.root / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    asked = [c for c in (*at.code, *at.commands) if re.match(r"make [a-z]", c)]
    return [command for command in asked if command.split()[1] not in targets]


def modules_exist(at: Page) -> list[str]:
    """`python -m package.module`, ours as a file, others installed."""
    asked = re.findall(r"python -m ([\w.]+)", "\n".join((*at.code, *at.commands)))
    return [module for module in asked if not _is_module(at.root, module)]


def _is_module(root: Path, module: str) -> bool:
    top = module.partition(".")[0]
    if (root / top).is_dir():
        return (root / module.replace(".", "/")).with_suffix(".py").is_file()
    return find_spec(top) is not None


def subcommands_exist(at: Page) -> list[str]:
    """`echo-serve X`."""
    cli = (at.root / "serve_app" / "cli.py").read_text()
    known = set(re.findall(r'add_parser\(\s*"(\w+)"', cli))
    asked = re.findall(r"echo-serve ([a-z]\w*)", "\n".join((*at.code, *at.commands)))
    return [f"echo-serve {name}" for name in asked if name not in known]


# --- settings ---


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


# --- blocks ---


def blocks_have_a_language(at: Page) -> list[str]:
    """Or nobody knows whether they are commands."""
    return [b.text.partition("\n")[0] for b in at.blocks if b.language not in _LANGUAGES]


# --- the walks through the code ---


def functions_are_where_the_walks_say(at: Page) -> list[str]:
    """In tables that begin with `file` and `function`."""
    return [
        f"{file}: {name}"
        for walk in _walks(at)
        for file, functions, *_ in walk.rows[1:]
        for name in re.findall(r"`([^`]+)`", functions)
        if name not in _defined(at.root / file.strip("`"))
    ]


def walks_are_counted(at: Page) -> list[str]:
    """The paragraph after a walk tells how many files it has, and the numbers of its columns."""
    found = []
    for walk in _walks(at):
        head, *steps = walk.rows
        counts = {"file": len({step[0] for step in steps})}
        counts |= {head[i]: max(int(step[i] or 0) for step in steps) for i in range(3, len(head))}
        said = [f"{count} {name}s" for name, count in counts.items()]
        found += [words for words in said if words not in walk.after]
    return found


def _walks(at: Page) -> list[Table]:
    return [table for table in tables(at.text) if table.rows[0][:2] == ["file", "function"]]


def _defined(path: Path) -> set[str]:
    """Functions as `name` and `Class.name`."""
    if not path.is_file():
        return set()
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{method.name}"
                for method in node.body
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return names


RULES: list[Rule] = [
    links_lead_somewhere,
    paths_exist,
    make_targets_exist,
    modules_exist,
    subcommands_exist,
    variables_are_read,
    settings_exist,
    yaml_is_valid,
    blocks_have_a_language,
    functions_are_where_the_walks_say,
    walks_are_counted,
]
