"""What has to be true of a page. Each rule returns what is wrong, one line each."""

import ast
import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.docs.pages import Page, Table, page, tables
from tests.docs.setting_rules import (
    limits_are_settings,
    settings_exist,
    variables_are_read,
    yaml_is_valid,
)

Rule = Callable[[Page], list[str]]

_LANGUAGES = {
    "sh",
    "console",
    "text",
    "yaml",
    "mermaid",
    "ini",
    "xml",
    "nginx",
    "caddyfile",
    "python",
    "js",
}
_FOLDERS = (
    *("serve_app", "deployments", "tests", "bench", "supply"),
    *("docs", "configs", "k8s", "monitoring"),
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


def named_tests_exist(at: Page) -> list[str]:
    """`test_something` is a function of a test."""
    asked = [span for span in at.code if re.fullmatch(r"test_\w+", span)]
    return [name for name in asked if name not in _tests(at.root)]


@cache
def _tests(root: Path) -> set[str]:
    texts = (path.read_text(encoding="utf-8") for path in (root / "tests").rglob("test_*.py"))
    return {
        name for text in texts for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.M)
    }


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
    limits_are_settings,
    named_tests_exist,
    yaml_is_valid,
    blocks_have_a_language,
    functions_are_where_the_walks_say,
    walks_are_counted,
]
