"""Carries out the Dockerfile's steps without a container engine: `python -m
tests.manifests.build_image DIRECTORY [--build-arg NAME=VALUE ...] [--serve]`.

Every absolute path of the image is moved below the directory, and the commands see nothing of this
shell's environment but what the network needs. Commands for the system's packages need root, so
they are only shown. With --serve the image's own command is started and its own health check is
run.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SHARED = ("/opt/echo", "/models")
"""Shared by all stages, because they are copied unchanged and a virtual environment cannot move."""
_PASSED_ON = re.compile(r"(?i)^(pip_.*|.*_proxy|ssl_cert.*|requests_ca_bundle|lang)$")
_HEALTHY_WITHIN_S = 180.0
_STOPS_WITHIN_S = 60.0


@dataclass
class Stage:
    """One FROM: its place on the disk and what ENV, ARG and WORKDIR said."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def moved(self, text: str, shared: Path) -> str:
        """`text` with the image's paths below our directories."""
        for path in _SHARED:
            text = re.sub(rf"(?<![\w/.]){path}\b", f"{shared}{path}", text)
        return text

    def here(self) -> Path:
        folder = self.root / self.workdir.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Instruction and its text, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(str.strip, text.splitlines()):
        name, _, rest = line.strip().partition(" ")
        yield name, rest.strip()


def build(target: Path, arguments: dict[str, str]) -> Stage:
    """All stages; returns the last one. Raises CalledProcessError when a step fails."""
    target.mkdir(parents=True)
    outside = {k: v for k, v in os.environ.items() if _PASSED_ON.match(k)}
    outside |= {"HOME": str(target), "PATH": os.environ["PATH"]}
    stages: dict[str, Stage] = {}
    stage = Stage(target)
    for name, rest in instructions((ROOT / "Dockerfile").read_text()):
        if name == "FROM":
            base, _, alias = rest.partition(" AS ")
            inherited = stages.get(base)
            stage = Stage(
                inherited.root if inherited else target / f"stage{len(stages)}",
                dict(inherited.env if inherited else outside),
                inherited.workdir if inherited else "/",
            )
            stages[alias or "last"] = stage
        else:
            step(stage, name, rest, target, arguments)
    return stage


def step(stage: Stage, name: str, rest: str, shared: Path, arguments: dict[str, str]) -> None:
    moved = stage.moved(rest, shared)
    match name:
        case "ARG":
            key, _, default = rest.partition("=")
            stage.env[key] = arguments.get(key, default.strip('"'))
        case "ENV":
            for item in shlex.split(moved):
                key, _, value = item.partition("=")
                stage.env[key] = value.replace("$PATH", stage.env["PATH"])
        case "WORKDIR":
            stage.workdir = rest
        case "COPY" if not rest.startswith("--from"):
            *sources, destination = rest.split()
            copy(sources, stage.here() / destination)
        case "RUN" if "apt-get" in rest:
            print(f"NOT RUN  {rest}", flush=True)
        case "RUN":
            run(moved, stage)
        case "HEALTHCHECK":
            stage.health = eval_list(rest.partition("CMD")[2])
        case "CMD":
            stage.command = eval_list(rest)


def run(command: str, stage: Stage) -> None:
    print(f"RUN  {command}", flush=True)
    started = time.monotonic()
    subprocess.run(["/bin/sh", "-c", command], check=True, cwd=stage.here(), env=stage.env)
    print(f"     {time.monotonic() - started:.0f} s", flush=True)


def copy(sources: list[str], destination: Path) -> None:
    """What .dockerignore lets through; a test checks that it names every source."""
    ignored = shutil.ignore_patterns("__pycache__")
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, destination, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / source, destination)


def eval_list(text: str) -> list[str]:
    """A command in the exec form."""
    return [part.strip().strip('"') for part in text.strip().strip("[]").split(",")]


def serve(stage: Stage) -> None:
    """Starts the image's command, waits for its health check, and stops it as docker stop does."""
    server = subprocess.Popen(stage.command, cwd=stage.here(), env=stage.env)
    try:
        deadline = time.monotonic() + _HEALTHY_WITHIN_S
        while subprocess.run(stage.health, env=stage.env, stderr=subprocess.DEVNULL).returncode:
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the server is not healthy")
            time.sleep(1)
        print("HEALTHY", flush=True)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(_STOPS_WITHIN_S)


def main() -> int:
    parser = argparse.ArgumentParser(description="The Dockerfile's steps in a directory.")
    parser.add_argument("directory", type=Path, help="must not exist yet")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    arguments = dict(argument.split("=", 1) for argument in options.build_arg)
    stage = build(options.directory.absolute(), arguments)
    if options.serve:
        serve(stage)
    return 0


if __name__ == "__main__":
    sys.exit(main())
