"""Every command of the pages, and how it is known to work: it is run here, or somewhere else."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

_PYTHON = sys.executable
_TIMEOUT_S = 50.0


@dataclass(frozen=True, slots=True)
class Run:
    """Quick: it is carried out, as it stands or in these words."""

    words: tuple[str, ...]
    prints: str
    """What has to be in its output."""


@dataclass(frozen=True, slots=True)
class Served:
    """It runs until it is stopped: here, when it has printed this."""

    words: tuple[str, ...]
    prints: str


@dataclass(frozen=True, slots=True)
class Covered:
    """Slow: another file runs it, which has to contain these words."""

    by: str
    words: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """It needs what is not here. What it names has to be there."""

    needs: str


How = Run | Served | Covered | Elsewhere


def _make(target: str, runs: str) -> Run:
    return Run(("make", "--dry-run", target), runs)


def _fake(provider: str, *options: str) -> Served:
    """At a port that is free."""
    module = f"serve_app.fakes.{provider}"
    return Served((_PYTHON, "-m", module, "--port", "0", *options), "Ctrl-C stops")


_EMPTY = Elsewhere("an empty environment")

KNOWN: dict[str, How] = {
    "make run": Covered("tests/serve/conftest.py", 'echo_serve("run"'),
    "echo-serve run --host 0.0.0.0": Covered("tests/serve/test_public.py", '"--host", "0.0.0.0"'),
    "echo-serve run --host 0.0.0.0 --open": Covered(
        "tests/serve/test_public.py", '"--host", "0.0.0.0", "--open"'
    ),
    "make demo": Covered("tests/serve/test_demo.py", 'echo_serve("demo"'),
    ".venv/bin/echo-serve talk": Elsewhere("serve_app/client/devices.py"),
    ".venv/bin/echo-serve talk --text Who are you?": Covered(
        "tests/serve/test_talk.py", '"--text", "Who are you?"'
    ),
    ".venv/bin/echo-serve talk --wav question.wav --out answer.wav --json": Covered(
        "tests/serve/test_talk.py", '"--wav", str(wav)'
    ),
    ".venv/bin/echo-serve doctor": Covered("tests/local/test_doctor.py", '["doctor", "--config"'),
    "make chaos": Covered("tests/serve/test_chaos.py", '"bench.chaos", "--short"'),
    "make test": Covered(".ci/run", "make test"),
    "make test-web": _make("test-web", "pytest tests/web"),
    "make test-slow": _make("test-slow", "-m slow"),
    "make lint": _make("lint", "ruff check"),
    "make types": _make("types", "mypy"),
    "make models": _make("models", "echo-serve fetch"),
    "make lock": _make("lock", "-m supply.locks"),
    "python -m supply.locks --keep": Run((_PYTHON, "-m", "supply.locks", "--help"), "--keep"),
    "make audit": Covered(".ci/run", "make audit"),
    "make sbom": _make("sbom", "-m supply.sbom"),
    "python -m supply.sbom --cuda": Run((_PYTHON, "-m", "supply.sbom", "--cuda"), "nvidia-cublas"),
    "make licences": _make("licences", "-m supply.licences"),
    "make soak": _make("soak", "-m bench.soak"),
    "make soak MINUTES=60": Run(("make", "--dry-run", "soak", "MINUTES=60"), "--minutes 60"),
    "make clean": _make("clean", "rm -rf"),
    "make long-call": _make("long-call", "-m bench.long_call"),
    ".venv/bin/python -m bench.local_tools": Run(
        (_PYTHON, "-m", "bench.local_tools", "--help"), "24 sentences"
    ),
    ".venv/bin/python -m bench.telephone": Run(
        (_PYTHON, "-m", "bench.telephone", "--help"), "mu-law at 8 kHz"
    ),
    ".venv/bin/python -m bench.fuzz_frames": Run(
        (_PYTHON, "-m", "bench.fuzz_frames", "--count", "200"), "frames; the slowest took"
    ),
    "make bench-turns": _make("bench-turns", "-m bench.turns"),
    "make bench-barge-in": _make("bench-barge-in", "-m bench.barge_in"),
    "make bench-latency": _make("bench-latency", "-m bench.latency"),
    "make bench-protocols": _make("bench-protocols", "-m bench.protocols"),
    "make bench-peers": _make("bench-peers", "-m bench.peers"),
    "make bench-capacity": _make("bench-capacity", "-m bench.capacity"),
    "make bench-hostile": _make("bench-hostile", "-m bench.hostile"),
    "make bench-llm": _make("bench-llm", "-m bench.llm"),
    "python -m bench.capacity --busy --silent 100 --talking 1": Run(
        (_PYTHON, "-m", "bench.capacity", "--help"), "--busy"
    ),
    "make bench-stt": _make("bench-stt", "-m bench.stt"),
    "make bench-stt-models": _make("bench-stt-models", "-m bench.stt_models"),
    "make bench-speech": _make("bench-speech", "-m bench.speech"),
    "make bench-agent": _make("bench-agent", "-m bench.agent"),
    "serve run configs/serve.yaml": Covered(
        "tests/serve/test_providers.py", '"serve")), "run", str(config_with('
    ),
    "echo-serve --help": Run((_PYTHON, "-m", "serve_app.cli", "--help"), "replay"),
    "echo-serve models": Covered("tests/models/test_listing.py", 'main(["models"])'),
    "echo-serve fetch qwen2.5-coder-1.5b-instruct": Covered(
        "tests/models/test_listing.py", 'main(["fetch", "tiny"])'
    ),
    "echo-serve forget SESSION": Covered(
        "tests/serve/test_forget.py", 'echo_serve("forget", session)'
    ),
    "echo-serve replay logs/SESSION.jsonl": Covered(
        "tests/ingress/test_event_log.py", 'main(["replay", str(log)])'
    ),
    "echo-serve keys add phone --expires 30d --file keys.json": Covered(
        "tests/local/test_keys.py", '"add", "phone", "--expires", "30d", *at'
    ),
    "echo-serve keys list --file keys.json": Covered("tests/local/test_keys.py", '"list", *at'),
    "echo-serve keys revoke phone --file keys.json": Covered(
        "tests/local/test_keys.py", '"revoke", "phone", *at'
    ),
    "python -m serve_app.protocol.close_codes": Run(
        (_PYTHON, "-m", "serve_app.protocol.close_codes"), "| 1000 |"
    ),
    "python -m serve_app.conversation.diagram": Run(
        (_PYTHON, "-m", "serve_app.conversation.diagram"), "stateDiagram-v2"
    ),
    ".venv/bin/pytest tests/conversation tests/protocol": Run(
        (_PYTHON, "-m", "pytest", "--collect-only", "-q", "tests/conversation", "tests/protocol"),
        "tests collected",
    ),
    "python -m serve_app.fakes.openai --help": Run(
        (_PYTHON, "-m", "serve_app.fakes.openai", "--help"), "--first-token-ms"
    ),
    "python -m serve_app.fakes.openai --port 8780 --first-token-ms 150": _fake(
        "openai", "--first-token-ms", "150"
    ),
    "python -m serve_app.fakes.elevenlabs --port 8790 --first-audio-ms 120": _fake(
        "elevenlabs", "--http-port", "0", "--first-audio-ms", "120"
    ),
    "pip install --require-hashes --no-deps -r requirements-build.lock": _EMPTY,
    "pip install --require-hashes --no-deps --no-build-isolation -r requirements.lock": _EMPTY,
    "pip install --require-hashes --no-deps -r requirements-cuda.lock": _EMPTY,
    "pip install --no-deps --no-build-isolation .": _EMPTY,
}
_PROGRAMS = {
    "docker": Elsewhere("a container engine"),
    "kind": Elsewhere("a cluster"),
    "helm": Elsewhere("a cluster"),
    "kubectl": Elsewhere("a cluster"),
    "base64": Elsewhere("the output of kubectl"),
}


def how(command: str) -> How | None:
    """None for a command that nobody has thought of."""
    return KNOWN.get(command) or _PROGRAMS.get(command.partition(" ")[0])


def complaint(root: Path, command: str) -> str:
    """What is wrong with a command; empty when nothing is."""
    match how(command):
        case Run(words, prints):
            return _run(root, words, prints)
        case Served(words, prints):
            return _serve(root, words, prints)
        case Covered(by, words):
            return "" if words in _text(root / by) else f"{by} does not run it"
        case Elsewhere():
            return ", ".join(f"{name} is not there" for name in _missing(root, command))
    return "it is neither run nor listed in tests/docs/commands.py"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _run(root: Path, words: tuple[str, ...], prints: str) -> str:
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=_TIMEOUT_S)
    if done.returncode:
        return f"it ends with {done.returncode}: {done.stderr[-500:]}"
    return "" if prints in done.stdout else f"it does not print {prints!r}"


def _serve(root: Path, words: tuple[str, ...], prints: str) -> str:
    with subprocess.Popen(words, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    return "" if prints in line else f"it prints {line!r}"


_NAMES: dict[str, Callable[[Path, str], bool]] = {
    r"-k (\S+)": lambda root, folder: (root / folder / "kustomization.yaml").is_file(),
    r"-[fr] (\w[\w./-]*)": lambda root, file: (root / file).is_file(),
    r"--profile (\S+)": lambda root, profile: profile in _profiles(root),
    r"--build-arg (\w+)=": lambda root, name: f"ARG {name}" in _text(root / "Dockerfile"),
}
"""What a command can name, and whether it is there."""


def _missing(root: Path, command: str) -> list[str]:
    return [
        name
        for pattern, is_there in _NAMES.items()
        for name in re.findall(pattern, command)
        if not is_there(root, name)
    ]


def _profiles(root: Path) -> set[str]:
    services = yaml.safe_load((root / "compose.yaml").read_text())["services"]
    return {profile for service in services.values() for profile in service.get("profiles", [])}
