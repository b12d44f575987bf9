"""`make lock`: the lock files, with a hash for every file that the index has of every package.

uv resolves for every system at once, so one lock is for x86-64 and arm64, Linux and macOS. What it
cannot say is added here: PyTorch's CPU builds, which are on PyTorch's own index, and the libraries
that only PyTorch's CUDA builds want, which get a lock of their own.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
RUN, CUDA, DEV = "requirements.lock", "requirements-cuda.lock", "requirements-dev.lock"
BUILD, BENCH, PEERS = (
    "requirements-build.lock",
    "requirements-bench.lock",
    "requirements-peers.lock",
)
LOCKS = (RUN, CUDA, DEV, BUILD, BENCH, PEERS)

TORCH_CPU = "requirements-torch-cpu.lock"
"""PyTorch's CPU builds that the image and CI install, on an index that uv does not ask: written by
hand. Another Python version gets PyPI's build."""
_CUDA = re.compile(r"(nvidia|cuda)-.*|triton")
_BENCH = {"av", "ctranslate2", "faster-whisper"}
"""What `make bench-stt` adds to the others."""
_BUILD_INPUT = "setuptools>=77\nwheel\n"
_PEERS_INPUT = "pipecat-ai[openai,websocket,whisper]==1.14.0\nuvicorn\nmsgpack\n"
_SYSTEMS = [
    {"sys_platform": system, "platform_system": name, "python_full_version": f"3.{minor}.1",
     "python_version": f"3.{minor}", "platform_machine": machine, "os_name": "posix"}
    for system, name in (("linux", "Linux"), ("darwin", "Darwin"))
    for minor in (11, 12, 13, 14)
    for machine in ("x86_64", "aarch64", "arm64")
]  # fmt: skip
"""Where the server runs. uv's locks name Windows too."""
_UV = [
    *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-header", "--annotation-style", "line"),
]


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a lock file."""

    requirement: Requirement
    hashes: tuple[str, ...]
    """SHA-256 in hexadecimal, of each file that may be installed."""
    asked_by: str
    """The comment with which uv says why it is there."""

    @property
    def name(self) -> str:
        return self.requirement.name

    @property
    def version(self) -> str:
        return str(self.requirement.specifier).removeprefix("==")

    def text(self) -> str:
        lines = [str(self.requirement).replace("; ", " ; ")]
        lines += [f"    --hash=sha256:{digest}" for digest in self.hashes]
        return " \\\n".join(lines) + f"\n    # {self.asked_by}\n"


def parse(text: str) -> list[Pin]:
    """The pins of a lock file. Raises ValueError for a line that is neither a pin nor a hash."""
    pins = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", text.strip()):
        lines = [line.strip().removesuffix("\\").strip() for line in block.splitlines()]
        hashes = [line for line in lines[1:] if line.startswith("--hash=sha256:")]
        comments = [line.removeprefix("# ") for line in lines[1:] if line.startswith("#")]
        if len(hashes) + len(comments) != len(lines) - 1:
            raise ValueError(f"not a lock: {block[:200]}")
        digests = tuple(line.removeprefix("--hash=sha256:") for line in hashes)
        pins.append(Pin(Requirement(lines[0]), digests, " ".join(comments)))
    return pins


def pins(name: str) -> list[Pin]:
    """Of a lock file of the repository."""
    return parse((ROOT / name).read_text())


def of_image() -> list[Pin]:
    """What an image holds: the server's packages, and what has built some of them."""
    run = pins(RUN)
    names = {pin.name for pin in run}
    return run + [pin for pin in pins(BUILD) if pin.name not in names]


def is_cuda(pin: Pin) -> bool:
    """Wanted by nothing but PyTorch with CUDA."""
    return _CUDA.fullmatch(pin.name) is not None


def runs_here(pin: Pin) -> bool:
    """On one of the systems that the server runs on."""
    marker = pin.requirement.marker
    return marker is None or any(marker.evaluate(system) for system in _SYSTEMS)


def with_torch_cpu(pin: Pin) -> Pin:
    """PyTorch with the hashes of its CPU builds too. Raises ValueError if they are of another
    version."""
    if pin.name != "torch":
        return pin
    (cpu,) = pins(TORCH_CPU)
    if cpu.version != pin.version:
        raise ValueError(f"{TORCH_CPU} has torch {cpu.version}, but it should be {pin.version}")
    return Pin(pin.requirement, tuple(sorted({*pin.hashes, *cpu.hashes})), pin.asked_by)


def finished(resolved: Iterable[Pin], keep: Callable[[Pin], bool]) -> str:
    """The text of a lock file with what is to be kept of what uv has resolved."""
    return "".join(with_torch_cpu(pin).text() for pin in resolved if keep(pin) and runs_here(pin))


def _resolve(scratch: Path, source: str, *arguments: str, text: str | None = None) -> list[Pin]:
    """What uv resolves. The scratch file may hold earlier pins, which uv then keeps."""
    command = [str(Path(sys.executable).parent / _UV[0]), *_UV[1:], *arguments]
    subprocess.run([*command, "-o", str(scratch), source], check=True, cwd=ROOT, input=text,
                   text=True, stdout=subprocess.DEVNULL)  # fmt: skip
    return parse(scratch.read_text())


def lock(keep_versions: bool) -> None:
    """Writes all lock files. Needs the package index."""
    upgrade = () if keep_versions else ("--upgrade",)
    scratch = ROOT / ".lock.tmp"

    def resolve(
        earlier: tuple[str, ...], source: str, *more: str, text: str | None = None
    ) -> list[Pin]:
        known = [ROOT / name for name in earlier if (ROOT / name).exists()]
        scratch.write_text("".join(path.read_text() for path in known))
        return _resolve(scratch, source, *upgrade, *more, text=text)

    def write(name: str, resolved: list[Pin], keep: Callable[[Pin], bool]) -> None:
        (ROOT / name).write_text(finished(resolved, keep))

    try:
        of_all = resolve((RUN, CUDA), "pyproject.toml")
        write(RUN, of_all, lambda pin: not is_cuda(pin))
        write(CUDA, of_all, is_cuda)
        pinned = ("-c", RUN, "-c", CUDA)
        of_all = resolve((DEV, CUDA), "pyproject.toml", "--extra", "dev", *pinned)
        write(DEV, of_all, lambda pin: not is_cuda(pin))
        pinned = ("-c", DEV, "-c", CUDA)
        write(BUILD, resolve((BUILD,), "-", *pinned, text=_BUILD_INPUT), lambda pin: True)
        extras = ("--extra", "bench", "--extra", "dev")
        of_all = resolve((DEV, CUDA, BENCH), "pyproject.toml", *extras, *pinned)
        write(BENCH, of_all, lambda pin: pin.name in _BENCH)
        write(PEERS, resolve((PEERS,), "-", text=_PEERS_INPUT), lambda pin: True)
    finally:
        scratch.unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m supply.locks", description=__doc__)
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the versions that are locked (default: the newest)",
    )
    lock(parser.parse_args().keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
