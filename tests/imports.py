"""What the modules under a root import, read from their source, and rules about it. A rule returns
its complaints; none is good.

Not import-linter, which does not tell imports that run when a module is loaded from those inside
functions. Here the difference is the point: engines load their libraries when they are chosen.
"""

import ast
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PACKAGES = ("serve_app", "deployments", "supply")
Arrows = Mapping[str, Mapping[str, str]]
"""By room, the rooms or single modules that it may import, each with the reason. A room is a
folder or a module, named without `serve_app.`; the longest name that fits a module is its room."""


@dataclass(frozen=True, slots=True)
class Imports:
    """The imports of each module, by its name. Names are whole: `a.b.c`, also for `from a.b import
    c` if `c` is a module."""

    at_load: Mapping[str, frozenset[str]]
    """What loading the module loads, the package that it is in included."""
    all: Mapping[str, frozenset[str]]
    """With imports inside functions, and those for type checkers."""

    @classmethod
    def under(cls, root: Path) -> Self:
        """Of our packages in this folder. Raises AssertionError for a relative import."""
        trees = {
            _name(path, root): ast.parse(path.read_text(encoding="utf-8"))
            for package in PACKAGES
            for path in (root / package).rglob("*.py")
        }
        ours = trees.keys()
        return cls(
            {
                name: _imported(_run_at_load(tree), ours) | ours & {name.rpartition(".")[0]}
                for name, tree in trees.items()
            },
            {name: _imported(ast.walk(tree), ours) for name, tree in trees.items()},
        )

    def modules(self, *names: str) -> list[str]:
        """Our modules that have one of these names, or are in one of these folders."""
        return [module for module in self.all if _is_in(module, names)]


# --- the rules ---


def wrong_packages(imports: Imports, modules: Iterable[str], allowed: Collection[str]) -> list[str]:
    """Third-party packages that loading these modules loads, directly or through other modules of
    ours, and that are not allowed."""
    return [
        f"{package}: {' -> '.join(chain)}"
        for package, chain in _loaded_by(imports, modules).items()
        if package not in allowed and package not in sys.stdlib_module_names
    ]


def impure(imports: Imports, folder: str, allowed: Collection[str]) -> list[str]:
    """Imports of anything that is neither allowed nor ours, the standard library included."""
    return [
        f"{module} imports {name}"
        for module in imports.modules(folder)
        for name in sorted(imports.all[module])
        if name.split(".")[0] not in (*allowed, *PACKAGES)
    ]


def wrong_arrows(imports: Imports, arrows: Arrows) -> list[str]:
    """Modules that belong to no room, and imports from one room of another that may not be."""
    complaints = []
    for module in imports.all.keys() - PACKAGES:
        room = _room(module, arrows)
        if not room:
            complaints.append(f"{module} is in no room")
            continue
        complaints += [
            f"{module} imports {name}, which is not for {room}"
            for name in imports.all[module] & imports.all.keys()
            if _room(name, arrows) != room and not _is_in(_short(name), arrows[room])
        ]
    return sorted(complaints)


def between(imports: Imports, folders: Collection[str]) -> list[str]:
    """Imports of one of these folders from another one."""
    return [
        f"{module} imports {name}, which is not of {folder}"
        for folder in folders
        for module in imports.modules(folder)
        for name in sorted(imports.all[module])
        if _is_in(name, folders) and not _is_in(name, [folder])
    ]


def circles(arrows: Arrows) -> list[str]:
    """Rooms that may import themselves over others, however many."""
    between = {
        room: {_room(name, arrows) for name in names} - {room} for room, names in arrows.items()
    }
    return [room for room in between if room in _reached(room, between)]


def circles_of_modules(imports: Imports) -> list[str]:
    """Modules that load themselves over others."""
    return [module for module in imports.at_load if module in _reached(module, imports.at_load)]


# --- names ---


def _name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _short(module: str) -> str:
    return module.removeprefix("serve_app.")


def _is_in(module: str, names: Iterable[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def _room(module: str, arrows: Arrows) -> str:
    """Empty if there is none."""
    return max((room for room in arrows if _is_in(_short(module), [room])), key=len, default="")


# --- imports ---


def _run_at_load(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is loaded: all but the insides of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _run_at_load(child)


def _imported(nodes: Iterable[ast.AST], ours: Collection[str]) -> frozenset[str]:
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in ours else str(node.module) for name in whole}
    return frozenset(names)


def _loaded_by(imports: Imports, modules: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Packages that are not ours, each with the modules over which it is reached."""
    chains: dict[str, tuple[str, ...]] = {module: (module,) for module in modules}
    waiting = list(chains)
    packages: dict[str, tuple[str, ...]] = {}
    while waiting:
        module = waiting.pop(0)
        for name in sorted(imports.at_load[module]):
            chain = (*chains[module], name)
            if name not in imports.at_load:
                packages.setdefault(name.split(".")[0], chain)
            elif name not in chains:
                chains[name] = chain
                waiting.append(name)
    return packages


def _reached(start: str, arrows: Mapping[str, Collection[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = set(arrows.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found
