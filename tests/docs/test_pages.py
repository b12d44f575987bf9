"""The pages are true: their links, paths, names, settings and commands. And each rule finds a
mistake."""

import shutil
from pathlib import Path

import pytest

from tests.docs.commands import KNOWN, Covered, complaint, how
from tests.docs.pages import ROOT, Page, commands, page, pages
from tests.docs.rules import (
    RULES,
    Rule,
    blocks_have_a_language,
    functions_are_where_the_walks_say,
    links_lead_somewhere,
    make_targets_exist,
    modules_exist,
    named_tests_exist,
    paths_exist,
    subcommands_exist,
    walks_are_counted,
)
from tests.docs.setting_rules import (
    limits_are_settings,
    settings_exist,
    variables_are_read,
    yaml_is_valid,
)

PAGES = pages(ROOT)
COMMANDS = sorted({command for at in PAGES for command in at.commands})
README_LINES = 150


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("at", PAGES, ids=lambda at: at.name)
def test_a_page_keeps_the_rules(at: Page, rule: Rule) -> None:
    assert rule(at) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_works(command: str) -> None:
    assert complaint(ROOT, command) == ""


def test_no_command_is_listed_that_is_on_no_page() -> None:
    assert set(KNOWN) <= set(COMMANDS)


def test_the_readme_fits_on_three_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_every_page_is_in_the_index() -> None:
    index = page(ROOT, "docs/README.md")
    linked = {link.partition("#")[0] for link in index.links}
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} | {
        "../k8s/README.md"
    }


# --- mistakes ---

WALK = """\
| file | function | what happens | queue |
|---|---|---|---|
| `serve_app/cli.py` | `main` | it begins | 1 |
| `serve_app/cli.py` | `Cli.run` | it goes on | 2 |

That is 1 files and 3 queues.
"""
LIMITS = """\
All are settings under `args.ingress.socket`.

| what | at most | setting |
|---|---|---|
| pings | 20 | `control_frames` |
| turns | 2 s | `args.turn.hold_ms` |
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small repository."""
    for name in ("Makefile", "serve_app/cli.py", "compose.yaml", "Dockerfile", "docs/limits.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "k8s" / "base").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_it():\nasync def test_that():\n")
    return tmp_path


def written(root: Path, text: str, name: str = "docs/page.md") -> Page:
    (root / name).write_text(text)
    return page(root, name)


@pytest.mark.parametrize(
    "rule, good, bad",
    [
        (links_lead_somewhere, "[a](limits.md)", "[a](limit.md)"),
        (links_lead_somewhere, "[a](limits.md#not-there)", "[a](limits.md#nowhere)"),
        (links_lead_somewhere, "## Two `words`: a\n[b](#two-words-a)", "[a\nb](#two-words-a)"),
        (paths_exist, "`serve_app/cli.py`", "`serve_app/clip.py`"),
        (paths_exist, "`docs/X.md`, `serve_app/`", "`docs/X.txt`"),
        (paths_exist, "`serve_app/cli.py::main`", "`serve_app/clip.py::main`"),
        (make_targets_exist, "`make bench-stt`", "`make bench-all`"),
        (make_targets_exist, "make sense\n```sh\nmake run\n```\n", "```sh\nmake sense\n```\n"),
        (modules_exist, "`python -m serve_app.cli`", "`python -m serve_app.clip`"),
        (modules_exist, "`python -m pytest`", "`python -m pytestt`"),
        (subcommands_exist, "`echo-serve run`", "`echo-serve walk`"),
        (variables_are_read, "`RAY_SERVE_ENABLE_HA_PROXY`", "`RAY_SERVE_ENABLE_HAPROXY`"),
        (variables_are_read, "", "```sh\nECHO_TEST=1 make run\n```\n"),
        (settings_exist, "`args.stt.max_replicas`", "`args.stt.most_replicas`"),
        (settings_exist, "`turn.hold_ms: 600`", "`turn.hold_s: 0.6`"),
        (settings_exist, "`agent.tts.transport`", "`agent.tts.transport.kind`"),
        (limits_are_settings, LIMITS, LIMITS.replace("control_frames", "pings")),
        (limits_are_settings, LIMITS, LIMITS.replace("ingress.socket", "ingress.limits")),
        (named_tests_exist, "`test_it`, `test_that`", "`test_this`, `test_that`"),
        (yaml_is_valid, "```yaml\nturn: {hold_ms: 600}\n```\n", "```yaml\nturn: {hold: 6}\n```\n"),
        (yaml_is_valid, "```yaml\nturn: {}\n```\n", "```yaml\nturns: {}\n```\n"),
        (yaml_is_valid, "```yaml\nturn: {}\n```\n", "```yaml\nturn: {\n```\n"),
        (blocks_have_a_language, "```text\na\n```\n", "```\na\n```\n"),
        (functions_are_where_the_walks_say, WALK.replace("Cli.run", "_run"), WALK),
        (walks_are_counted, WALK.replace("3 queues", "2 queues"), WALK),
    ],
)  # fmt: skip
def test_a_rule_finds_a_mistake(root: Path, rule: Rule, good: str, bad: str) -> None:
    assert rule(written(root, good)) == []
    assert len(rule(written(root, bad))) == 1


def test_manifests_are_no_settings(root: Path) -> None:
    assert yaml_is_valid(written(root, "```yaml\nspec: {}\n```\n", "k8s/README.md")) == []


def test_a_readme_may_name_paths_below_its_folder(root: Path) -> None:
    at = written(root, "`base/`, `base/ray.yaml`, `echo/keys`", "k8s/README.md")
    assert paths_exist(at) == ["base/ray.yaml"]


@pytest.mark.parametrize(
    "command, found",
    [
        ("make everything", "neither run nor listed"),
        ("rm -rf /", "neither run nor listed"),
        ("make demo", "tests/serve/test_demo.py does not run it"),
        ("kubectl apply -k k8s/overlays/local", "k8s/overlays/local is not there"),
        ("docker compose -f compose.gpu.yaml up", "compose.gpu.yaml is not there"),
        ("docker compose --profile all up", "all is not there"),
        ("docker build --build-arg GPU=cuda .", "GPU is not there"),
        ("make lint", "it ends with 2"),
        ("make types", "it does not print 'mypy'"),
    ],
)
def test_a_command_that_does_not_work_is_found(root: Path, command: str, found: str) -> None:
    (root / "Makefile").write_text("types:\n\tpyright\n")
    assert found in complaint(root, command)


def test_commands_are_taken_apart() -> None:
    shell = 'A=1 one -x "b && c" \\\n  --more | two && three  # why\n# nothing\n\nfour; five'
    assert commands(shell) == ["one -x b && c --more", "two", "three", "four", "five"]


def test_only_shell_blocks_have_commands(root: Path) -> None:
    text = "```text\nmake a\n```\n```console\n$ make b\nmade\n```\n```sh\nmake c\n```\n"
    assert written(root, text).commands == ["make b", "make c"]


def test_slow_commands_name_the_test_that_runs_them() -> None:
    for command in ("make run", "make demo", "make chaos", "serve run configs/serve.yaml"):
        assert isinstance(how(command), Covered)
