"""The lock files: complete, with hashes, and what their maker does to uv's answer."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from supply import locks
from supply.locks import LOCKS, ROOT, TORCH_CPU, Pin, finished, is_cuda, parse, pins, runs_here

A, B = "a" * 64, "b" * 64
RESOLVED = f"""\
anyio==4.16.0 \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}
    # via echo-serve (pyproject.toml)
pywin32==312 ; sys_platform == 'win32' \\
    --hash=sha256:{A}
    # via mcp
torch==2.13.0 \\
    --hash=sha256:{B}
    # via echo-serve (pyproject.toml)
triton==3.7.1 ; python_full_version < '3.15' and sys_platform == 'linux' \\
    --hash=sha256:{B}
    # via torch
"""


def names(text: str) -> list[str]:
    return [pin.name for pin in parse(text)]


def test_what_is_written_is_read_again() -> None:
    (pin, *_) = parse(RESOLVED)
    assert (pin.name, pin.version, pin.hashes) == ("anyio", "4.16.0", (A, B))
    assert parse(pin.text()) == [pin]


def test_the_cuda_libraries_are_apart_and_other_systems_are_left_out() -> None:
    resolved = parse(RESOLVED)
    assert names(finished(resolved, lambda pin: not is_cuda(pin))) == ["anyio", "torch"]
    assert names(finished(resolved, is_cuda)) == ["triton"]


def test_torch_has_the_hashes_of_its_cpu_builds_too() -> None:
    (cpu,) = pins(TORCH_CPU)
    (torch,) = (p for p in parse(finished(parse(RESOLVED), runs_here)) if p.name == "torch")
    assert set(torch.hashes) == {B, *cpu.hashes}


def test_a_torch_whose_cpu_builds_are_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match=r"9\.0"):
        finished([Pin(Requirement("torch==9.0"), (A,), "")], runs_here)


@pytest.mark.parametrize("line", ["anyio", f"anyio==1 --hash=sha256:{A}", "anyio==1\n  --pre"])
def test_what_is_no_lock_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        (pin,) = parse(line)
        assert_is_locked(pin)


def assert_is_locked(pin: Pin) -> None:
    operators = [specifier.operator for specifier in pin.requirement.specifier]
    if operators != ["=="] or not pin.hashes or pin.requirement.url:
        raise ValueError(pin)


@pytest.mark.parametrize("name", [*LOCKS, TORCH_CPU])
def test_every_package_has_one_version_and_hashes(name: str) -> None:
    found = pins(name)
    assert len(found) == len({pin.name for pin in found}) > 0
    for pin in found:
        assert_is_locked(pin)
        assert all(len(digest) == 64 for digest in pin.hashes)


def test_the_locks_agree() -> None:
    versions = {pin.name: pin.version for pin in pins(locks.DEV) + pins(locks.CUDA)}
    for name in (locks.RUN, locks.CUDA, locks.BUILD, TORCH_CPU):
        for pin in pins(name):
            assert versions.get(pin.name, pin.version) == pin.version, f"{name}: {pin.name}"


def test_what_pyproject_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {locks.RUN: project["dependencies"], locks.DEV: project["optional-dependencies"]["dev"]}
    for name, requirements in asked.items():
        locked = {pin.name: pin.version for pin in pins(name)}
        for requirement in map(Requirement, requirements):
            version = locked[requirement.name.lower()]
            assert requirement.specifier.contains(version, prereleases=True), requirement


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile"])
def test_nothing_is_installed_without_a_hash(name: str) -> None:
    """But this project, and another Ray that somebody asks for."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    commands = re.findall(r"pip install[^&|\n]*", text)
    own = re.compile(r"--no-deps --no-build-isolation (--editable )?\. *$|\"ray\[serve\]==")
    assert len(commands) >= 3
    for command in commands:
        assert "--require-hashes" in command or own.search(command), command
